# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of applied warehouse events and the calls of Docksync."""
from decimal import Decimal

from trytond.exceptions import UserError, UserWarning
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.model.exceptions import AccessError, SQLConstraintError
from trytond.pool import Pool
from trytond.rpc import RPC
from trytond.transaction import Transaction

from .document import Catalog, Document, active
from .exceptions import Refused, refuse
from .run import Run

# Grows when a caller has to know the difference.
VERSION = '1'
# Every lost race shows the rows of the call that won; more than a few in a row is no race.
RACES_MAX = 5


class _Raced(Exception):
    "Another call wrote one of our keys between our look and our insert."


class Event(ModelSQL, ModelView):
    __name__ = 'docksync.event'
    _rec_name = 'key'

    key = fields.Char("Key", required=True, readonly=True, strip=False)
    event_id = fields.Char("Event ID", required=True, readonly=True)
    kind = fields.Char("Kind", required=True, readonly=True)
    site = fields.Char("Site", required=True, readonly=True)
    reference = fields.Char("Reference", readonly=True, strip=False)
    number = fields.Char("Number", readonly=True, strip=False,
        help="The number of the warehouse's own document.")
    date = fields.Date("Date", required=True, readonly=True)
    source = fields.Text("Source", readonly=True)
    traceparent = fields.Char("Trace", readonly=True)
    moves = fields.One2Many('stock.move', 'origin', "Moves", readonly=True)
    record = fields.Reference(
        "Record", selection='get_records', readonly=True,
        help="The document that took the effect.")
    document = fields.Char("Document", readonly=True, strip=False)
    voided_by = fields.Many2One(
        'docksync.event', "Voided By", readonly=True, ondelete='RESTRICT')

    @classmethod
    def __setup__(cls):
        cls.key.search_unaccented = False
        cls.reference.search_unaccented = False
        cls.number.search_unaccented = False
        super().__setup__()
        t = cls.__table__()
        cls._sql_constraints = [
            ('key_unique', Unique(t, t.key), 'docksync.msg_key_unique'),
            ]
        cls._sql_indexes.update({
                Index(t, (t.reference, Index.Equality())),
                Index(t, (t.number, Index.Equality())),
                })
        cls._order = [('id', 'DESC')]
        for name in ('create', 'write', 'delete', 'copy', 'import_data'):
            cls.__rpc__.pop(name, None)
        cls.__rpc__.update({
                'apply': RPC(readonly=False, check_access=False),
                'lookup': RPC(check_access=False),
                'stock': RPC(check_access=False),
                'version': RPC(check_access=False),
                })

    @classmethod
    def get_records(cls):
        get_name = Pool().get('ir.model').get_name
        return [(None, '')] + [(m, get_name(m)) for m in [
                    'stock.shipment.out', 'stock.shipment.in',
                    'stock.shipment.out.return']]

    @classmethod
    def check_modification(cls, mode, events, values=None, external=False):
        super().check_modification(
            mode, events, values=values, external=external)
        # What has been applied is a fact; without its row a second delivery would move the stock again.
        if external or mode == 'delete':
            raise AccessError(gettext('docksync.msg_ledger_fixed'))

    @property
    def text(self):
        return self.document or str(self)

    # Calls

    @classmethod
    def version(cls):
        return VERSION

    @classmethod
    def lookup(cls, keys):
        cls._check_group()
        found = cls.search([('key', 'in', list(keys))], order=[])
        return [[e.key, e.text] for e in found]

    @classmethod
    def stock(cls, site):
        cls._check_group()
        pool = Pool()
        Location, Product = pool.get('stock.location'), pool.get(
            'product.product')
        company = cls._company()
        warehouses = Location.search([
                ('type', '=', 'warehouse'), ('code', '=', site)])
        if len(warehouses) != 1:
            refuse(None, 'UNKNOWN_WAREHOUSE', 'msg_warehouse',
                document='stock', site=site, count=len(warehouses))
        with Transaction().set_context(active_test=False):
            locations = {l.id: l.code or l.name for l in Location.search([
                        ('parent', 'child_of', [warehouses[0].id]),
                        ('type', '=', 'storage'),
                        ])}
        Lot = active('stock.lot')
        grouping = ('product', 'lot') if Lot else ('product',)
        with Transaction().set_context(
                company=company,
                stock_date_end=Catalog.today_of(company), forecast=False):
            quantities = Product.products_by_location(
                list(locations), with_childs=False, grouping=grouping)
        quantities = {k: q for k, q in quantities.items() if q}
        with Transaction().set_context(active_test=False):
            codes = {p.id: p.code for p in Product.browse(
                    list({k[1] for k in quantities}))}
            lots = {l.id: l.number for l in Lot.browse(
                    list({k[2] for k in quantities if k[2]}))} if Lot else {}
        return sorted((
                [codes[k[1]] or '', lots.get(k[2]) if Lot else None,
                    locations[k[0]], _text(q)]
                for k, q in quantities.items()),
            key=lambda r: (r[0], r[1] or '', r[2]))

    @classmethod
    def apply(cls, documents):
        """Apply warehouse documents, all or none.

        Answers `[key, "applied" | "duplicate", document]` in their order.
        """
        cls._check_group()
        company = cls._company()
        documents = [Document(d) for d in documents]
        transaction = Transaction()
        # Rights were checked above; what follows may touch what the caller cannot.
        with transaction.set_context(
                company=company, _check_access=False, _docksync=True):
            for _ in range(RACES_MAX):
                try:
                    return cls._apply(documents, company)
                except _Raced:
                    cls._undo()
                except Refused:
                    raise
                except (UserError, UserWarning) as error:
                    raise cls._blame(documents, company, error) from error
        refuse(documents[0] if documents else None,
            'CONFLICT', 'msg_raced', count=RACES_MAX)

    # Work

    @classmethod
    def _apply(cls, documents, company):
        rows = {e.key: e for e in cls.search([
                    ('key', 'in', [d.key for d in documents])])}
        fresh, status = {}, []
        for document in documents:
            row = rows.get(document.key)
            first = fresh.get(document.key)
            status.append(
                'duplicate' if row is not None or first else 'applied')
            if row is None and first is None:
                fresh[document.key] = document
            known = row if row is not None else first
            if known is not None and (
                    (known.kind, known.site)
                    != (document.kind, document.site)):
                refuse(document, 'CONFLICT', 'msg_key_conflict',
                    kind=known.kind, site=known.site)
        new = list(fresh.values())
        if new:
            # The keys go in first: a second call with one of them waits here for the first one's end.
            try:
                created = cls.create([{
                            'key': d.key,
                            'event_id': d.event_id,
                            'kind': d.kind,
                            'site': d.site,
                            'reference': d.reference,
                            'number': d.number,
                            'date': d.date,
                            'source': d.source,
                            'traceparent': d.trace,
                            } for d in new])
            except SQLConstraintError as error:
                raise _Raced from error
            for document, row in zip(new, created):
                document.row = row
                rows[document.key] = row
            Run(new, company).run()
        texts = {d.key: d.event or str(d.row) for d in new}
        return [
            [d.key, s, texts.get(d.key) or rows[d.key].text]
            for d, s in zip(documents, status)]

    @classmethod
    def _undo(cls):
        transaction = Transaction()
        transaction.rollback()
        transaction.tasks.clear()

    @classmethod
    def _blame(cls, documents, company, error):
        """Name the document that an error of Tryton's own belongs to.

        The steps are taken for all documents together, so the error does not
        tell; the shortest run from the start that fails ends with it.
        """
        passes, fails = 0, len(documents)
        while fails - passes > 1:
            middle = (passes + fails) // 2
            cls._undo()
            try:
                cls._apply(documents[:middle], company)
            except Refused as refused:
                return refused
            except (UserError, UserWarning) as narrower:
                fails, error = middle, narrower
            else:
                passes = middle
        cls._undo()
        document = documents[fails - 1]
        code = (
            'NEEDS_DECISION' if isinstance(error, UserWarning) else 'REFUSED')
        return Refused(document.key, code, gettext(
                'docksync.msg_tryton',
                document=document.label,
                message=' '.join(error.message.split())),
            document.label)

    @classmethod
    def _check_group(cls):
        pool = Pool()
        group = pool.get('ir.model.data').get_id(
            'docksync', 'group_docksync')
        if group not in pool.get('res.user').get_groups():
            refuse(None, 'ACCESS', 'msg_access')

    @classmethod
    def _company(cls):
        company = Transaction().context.get('company')
        if company is None:
            user = Pool().get('res.user')(Transaction().user)
            company = user.company.id if user.company else None
        if company is None:
            refuse(None, 'SETUP', 'msg_company')
        return company


class Progress(ModelSQL, ModelView):
    "What was picked and packed of a shipment before the shipment itself can advance."
    __name__ = 'docksync.progress'

    event = fields.Many2One(
        'docksync.event', "Event", required=True, readonly=True,
        ondelete='RESTRICT')
    stage = fields.Selection([
            ('picked', "Picked"),
            ('packed', "Packed"),
            ], "Stage", required=True, readonly=True)
    shipment = fields.Many2One(
        'stock.shipment.out', "Shipment", required=True, readonly=True,
        ondelete='CASCADE')
    product = fields.Many2One(
        'product.product', "Product", required=True, readonly=True)
    quantity = fields.Float("Quantity", required=True, readonly=True,
        help="In the product's default unit.")
    lot_number = fields.Char("Lot", readonly=True)
    location = fields.Many2One('stock.location', "Location", readonly=True)
    short = fields.Char("Short", readonly=True)
    container = fields.Char("Container", readonly=True)
    used = fields.Boolean("Used", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        for name in ('create', 'write', 'delete', 'copy', 'import_data'):
            cls.__rpc__.pop(name, None)
        t = cls.__table__()
        cls._sql_indexes.add(Index(t, (t.shipment, Index.Equality())))

    @classmethod
    def default_used(cls):
        return False

    @classmethod
    def check_modification(cls, mode, rows, values=None, external=False):
        super().check_modification(
            mode, rows, values=values, external=external)
        if external:
            raise AccessError(gettext('docksync.msg_ledger_fixed'))


def _text(quantity):
    text = format(Decimal(str(quantity)), 'f')
    return text.rstrip('0').rstrip('.') if '.' in text else text
