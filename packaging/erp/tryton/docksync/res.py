# SPDX-License-Identifier: GPL-3.0-or-later
from trytond.pool import PoolMeta
from trytond.transaction import Transaction

# What these warn of is what a warehouse event says: goods that have moved, in the quantity that has moved.
# Any other warning is a question that only a person can answer, and stops the document.
ANSWERED = {
    'check_move_quantity',      # more than ordered went out or came in
    'check_quantity_lot',       # other lots were packed than picked
    'check_quantity_product',   # less was packed than picked
    'done',                     # a move without an origin
    }


class Warning(metaclass=PoolMeta):
    __name__ = 'res.user.warning'

    @classmethod
    def check(cls, warning_name):
        if (Transaction().context.get('_docksync')
                and warning_name.rpartition('.')[2] in ANSWERED):
            return False
        return super().check(warning_name)
