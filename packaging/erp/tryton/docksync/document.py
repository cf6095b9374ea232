# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a call, read and resolved against the master data.

All look-ups for a call are made in one search per model: with one search per
line the searches would cost more than the stock moves.
"""
import datetime as dt
from decimal import Decimal, InvalidOperation

from trytond.pool import Pool
from trytond.transaction import Transaction

from .exceptions import refuse

# Signed quantities: the line tells the change of the balance.
SIGNED = {'adjusted', 'counted'}
# A line of zero has a meaning here: none of it went, and `short` says what becomes of it.
ZERO = SIGNED | {'shipped', 'picked'}
KINDS = {
    'picked', 'packed', 'shipped', 'voided', 'received', 'returned',
    'transferred', 'adjusted', 'counted', 'moved'}


def active(name):
    "The model, or None where its module is not activated."
    try:
        return Pool().get(name)
    except KeyError:
        return None


class Line:
    __slots__ = (
        'position', 'code', 'quantity', 'symbol', 'lot_number',
        'location_code', 'to_location_code', 'label', 'short', 'container',
        'account_code', 'product', 'unit', 'lot', 'location', 'to_location',
        'account')

    @property
    def amount(self):
        return float(abs(self.quantity))


class Document:
    __slots__ = (
        'key', 'event_id', 'kind', 'site', 'date', 'reference', 'number',
        'source', 'trace', 'without_document', 'lines',
        'warehouse', 'event', 'row', 'target')

    def __init__(self, raw):
        self.key = None
        if not isinstance(raw, dict):
            refuse(None, 'MALFORMED', 'msg_malformed',
                document=repr(raw)[:40], field='document')
        for name in (
                'key', 'event_id', 'kind', 'site', 'date', 'reference',
                'number', 'source', 'trace', 'without_document'):
            value = raw.get(name)
            if value is not None and not isinstance(value, str):
                self._malformed(name)
            setattr(self, name, value or None)
        for name in ('key', 'event_id', 'kind', 'site'):
            if not getattr(self, name):
                self._malformed(name)
        if self.kind not in KINDS:
            self._malformed('kind')
        if self.without_document not in {None, 'refuse', 'move'}:
            self._malformed('without_document')
        try:
            self.date = dt.date.fromisoformat(self.date or '')
        except ValueError:
            self._malformed('date')
        lines = raw.get('lines')
        # A void may mean the whole document; anything else without lines would say that nothing moved.
        if (not isinstance(lines, list)
                or not lines and self.kind != 'voided'):
            self._malformed('lines')
        self.row = self.target = self.event = self.warehouse = None
        self.lines = [self._line(i, l) for i, l in enumerate(lines, 1)]

    def _malformed(self, field):
        refuse(self, 'MALFORMED', 'msg_malformed', field=field)

    def _line(self, position, raw):
        if not isinstance(raw, dict):
            self._malformed('lines')
        line = Line()
        line.position = position
        for name, source in (
                ('code', 'product'), ('symbol', 'unit'),
                ('lot_number', 'lot'), ('location_code', 'location'),
                ('to_location_code', 'to_location'), ('label', 'line'),
                ('short', 'short'), ('container', 'container'),
                ('account_code', 'account')):
            value = raw.get(source)
            if value is not None and not isinstance(value, str):
                self._malformed(f'lines[{position}].{source}')
            setattr(line, name, value or None)
        if not line.code:
            self._malformed(f'lines[{position}].product')
        if line.short not in {None, 'backorder', 'cancel'}:
            self._malformed(f'lines[{position}].short')
        text = raw.get('quantity')
        try:
            if not isinstance(text, str):
                raise InvalidOperation
            line.quantity = Decimal(text)
            if not line.quantity.is_finite():
                raise InvalidOperation
        except InvalidOperation:
            refuse(self, 'QUANTITY', 'msg_quantity_text',
                line=self.line_label(line), quantity=repr(text))
        if ((line.quantity < 0 and self.kind not in SIGNED)
                or (line.quantity == 0 and self.kind not in ZERO)):
            refuse(self, 'QUANTITY', 'msg_quantity_sign',
                line=self.line_label(line), quantity=text, kind=self.kind)
        line.product = line.unit = line.lot = None
        line.location = line.to_location = line.account = None
        return line

    @property
    def label(self):
        name = self.reference or self.number or self.key
        return f'{self.kind} {name} ({self.site})'

    @staticmethod
    def line_label(line):
        return f'{line.label or line.position} ({line.code})'


class Catalog:
    "The master data that the documents of one call speak of."

    def __init__(self, documents, company):
        pool = Pool()
        self.company = company
        self.documents = documents
        self.Location = pool.get('stock.location')
        self.Uom = pool.get('product.uom')
        self._places = {}
        lines = [l for d in documents for l in d.lines]
        self.warehouses = {}
        for warehouse in self.Location.search([('type', '=', 'warehouse')]):
            self.warehouses.setdefault(warehouse.code, []).append(warehouse)
        self._products(lines)
        self._units(lines)
        self._locations(lines)
        self._period()

    def _products(self, lines):
        Product = Pool().get('product.product')
        self.products = {}
        codes = sorted({l.code for l in lines})
        for product in Product.search([('code', 'in', codes)]):
            self.products.setdefault(product.code, []).append(product)

    def _units(self, lines):
        self.units = {}
        symbols = sorted({l.symbol for l in lines if l.symbol})
        if symbols:
            for unit in self.Uom.search([('symbol', 'in', symbols)]):
                self.units.setdefault(unit.symbol, []).append(unit)

    def _locations(self, lines):
        codes = {l.location_code for l in lines} | {
            l.to_location_code for l in lines} | {
            l.account_code for l in lines}
        codes.discard(None)
        self.locations = {}
        if codes:
            for location in self.Location.search([
                        ('code', 'in', sorted(codes)),
                        ('type', '!=', 'warehouse'),
                        ]):
                self.locations.setdefault(location.code, []).append(location)

    def _period(self):
        pool = Pool()
        Period = pool.get('stock.period')
        periods = Period.search([
                ('state', '=', 'closed'),
                ('company', '=', self.company),
                ], order=[('date', 'DESC')], limit=1)
        self.closed = periods[0].date if periods else None
        self.today = self.today_of(self.company)

    @staticmethod
    def today_of(company):
        with Transaction().set_context(company=company):
            return Pool().get('ir.date').today()

    def resolve(self):
        for document in self.documents:
            self._resolve(document)
        self._lots()

    def _resolve(self, document):
        warehouses = self.warehouses.get(document.site, [])
        if len(warehouses) != 1:
            refuse(document, 'UNKNOWN_WAREHOUSE', 'msg_warehouse',
                site=document.site, count=len(warehouses))
        document.warehouse, = warehouses
        if self.closed and document.date <= self.closed:
            refuse(document, 'CLOSED_PERIOD', 'msg_closed_period',
                date=document.date.isoformat(),
                closed=self.closed.isoformat())
        if document.date > self.today:
            # A site east of the company is in tomorrow for some hours; stock of tomorrow would not count today.
            if document.date > self.today + dt.timedelta(days=1):
                refuse(document, 'NEEDS_DECISION', 'msg_future',
                    date=document.date.isoformat(),
                    today=self.today.isoformat())
            document.date = self.today
        for line in document.lines:
            self._resolve_line(document, line)

    def _resolve_line(self, document, line):
        label = document.line_label(line)
        products = self.products.get(line.code, [])
        if not products:
            refuse(document, 'UNKNOWN_PRODUCT', 'msg_product',
                line=label, product=line.code)
        if len(products) > 1:
            refuse(document, 'AMBIGUOUS_PRODUCT', 'msg_product_ambiguous',
                line=label, product=line.code, count=len(products))
        line.product = product = products[0]
        base = product.default_uom
        if line.symbol is None:
            line.unit = base
        else:
            # Two categories may use one symbol.
            units = [u for u in self.units.get(line.symbol, [])
                if u.category == base.category]
            if len(units) != 1:
                refuse(document, 'UNKNOWN_UNIT', 'msg_unit',
                    line=label, unit=line.symbol,
                    category=base.category.rec_name, base=base.symbol)
            line.unit, = units
        self.exact(document, line, line.unit)
        self.exact(document, line, base)
        storage = document.warehouse.storage_location
        # Which place a line means when it names none depends on the kind, so None stays None for `to_location`.
        line.location = (
            self.place(document, line, line.location_code)
            if line.location_code else storage)
        if line.to_location_code:
            if document.kind == 'transferred':
                if line.to_location_code not in self.warehouses:
                    refuse(document, 'UNKNOWN_LOCATION', 'msg_to_warehouse',
                        line=label, location=line.to_location_code)
            else:
                line.to_location = self.place(
                    document, line, line.to_location_code)

        if line.account_code:
            line.account = self.lost_found(document, line)

    def lost_found(self, document, line):
        "Where what was found or lost for this reason is booked: it belongs to no warehouse, or to this one."
        found = [l for l in self.locations.get(line.account_code, [])
            if l.type == 'lost_found'
            and l.warehouse in {None, document.warehouse}]
        if len(found) != 1:
            refuse(document, 'UNKNOWN_LOCATION', 'msg_account',
                line=document.line_label(line), location=line.account_code,
                site=document.site, count=len(found))
        return found[0]

    def exact(self, document, line, unit):
        "The line's quantity in the unit; refused where the unit cannot hold it."
        quantity = self.Uom.compute_qty(
            line.unit, float(line.quantity), unit, round=False)
        rounded = unit.round(quantity)
        # Six decimals are all that an event can carry; what is below is the conversion's own noise.
        if abs(rounded - quantity) > 1e-7 * max(1, abs(quantity)):
            refuse(document, 'QUANTITY', 'msg_quantity_unit',
                line=document.line_label(line),
                quantity=f'{line.quantity} {line.unit.symbol}',
                unit=unit.symbol, digits=unit.digits)
        return rounded

    def place(self, document, line, code):
        key = (document.warehouse.id, code)
        if key not in self._places:
            self._places[key] = [l for l in self.locations.get(code, [])
                if l.type == 'storage'
                and l.warehouse == document.warehouse]
        found = self._places[key]
        if len(found) != 1:
            refuse(document, 'UNKNOWN_LOCATION', 'msg_location',
                line=document.line_label(line), location=code,
                site=document.site, count=len(found))
        return found[0]

    def _lots(self):
        Lot = active('stock.lot')
        if Lot is None:
            return
        wanted = {}
        for document in self.documents:
            for line in document.lines:
                if line.lot_number:
                    wanted.setdefault(
                        (line.product.id, line.lot_number), []).append(line)
        if not wanted:
            return
        found = {}
        # Two calls may have made the same lot at the same time: they mean the same goods, so the first one is used.
        for lot in Lot.search([
                    ('product', 'in', sorted({p for p, _ in wanted})),
                    ('number', 'in', sorted({n for _, n in wanted})),
                    ], order=[('id', 'ASC')]):
            found.setdefault((lot.product.id, lot.number), lot)
        missing = sorted(k for k in wanted if k not in found)
        if missing:
            lots = Lot.create(
                [{'product': p, 'number': n} for p, n in missing])
            found.update(zip(missing, lots))
        for key, lines in wanted.items():
            for line in lines:
                line.lot = found[key]
