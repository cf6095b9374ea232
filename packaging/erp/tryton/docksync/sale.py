# SPDX-License-Identifier: GPL-3.0-or-later
from trytond.pool import Pool, PoolMeta


class Line(metaclass=PoolMeta):
    """What was voided counts as neither shipped nor to be invoiced.

    So the order plans it again, as if the warehouse had never told of it.
    """
    __name__ = 'sale.line'

    def _docksync_voided(self):
        Uom = Pool().get('product.uom')
        return sum(
            Uom.compute_qty(
                m.product.default_uom, m.docksync_voided, self.unit)
            for m in self.moves if m.docksync_voided)

    def _get_shipped_quantity(self, shipment_type):
        return (super()._get_shipped_quantity(shipment_type)
            - self._docksync_voided())

    @property
    def _move_remaining_quantity(self):
        quantity = super()._move_remaining_quantity
        if quantity is not None:
            quantity += self._docksync_voided()
        return quantity

    def _get_invoice_line_quantity(self):
        quantity = super()._get_invoice_line_quantity()
        if (self.sale.invoice_method == 'fulfillment'
                and self.product and self.product.type != 'service'):
            quantity -= self._docksync_voided()
        return quantity
