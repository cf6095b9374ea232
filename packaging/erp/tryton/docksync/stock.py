# SPDX-License-Identifier: GPL-3.0-or-later
from trytond.model import fields
from trytond.pool import PoolMeta


class Move(metaclass=PoolMeta):
    __name__ = 'stock.move'

    docksync_voided = fields.Float(
        "Voided Quantity", readonly=True,
        help="How much of it the warehouse took back because it had not left, "
        "in the product's default unit.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # It tells something about the move and changes nothing of it.
        cls._allow_modify_closed_period.add('docksync_voided')

    @classmethod
    def _get_origin(cls):
        return super()._get_origin() + ['docksync.event']

    @classmethod
    def copy(cls, moves, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('docksync_voided')
        return super().copy(moves, default=default)
