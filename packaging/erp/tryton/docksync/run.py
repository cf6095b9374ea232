# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over the new documents of a call.

Moves and transitions are saved for many documents at once, since a call into
the server's models costs nearly the same for one record as for a hundred.
"""
from collections import defaultdict
from decimal import Decimal

from sql.functions import CurrentTimestamp

from trytond.pool import Pool
from trytond.tools import reduce_ids
from trytond.transaction import Transaction

from .document import Catalog, active
from .exceptions import refuse
from .receiving import Receiving
from .shipping import Shipping

# These concern no document of the ERP, so neither order nor grouping among them matters.
LOOSE = {'adjusted', 'counted', 'moved', 'transferred'}


class Run:

    def __init__(self, documents, company):
        pool = Pool()
        self.documents = documents
        self.company = pool.get('company.company')(company)
        self.catalog = Catalog(documents, company)
        self.Move = pool.get('stock.move')
        self.Uom = pool.get('product.uom')
        self.ModelData = pool.get('ir.model.data')
        self.Location = pool.get('stock.location')
        self.loose = []
        self.records = {}
        self.sales, self.purchases = set(), set()
        self._fixed = {}

    def run(self):
        self.catalog.resolve()
        for document in self.documents:
            if document.kind in LOOSE:
                getattr(self, '_' + document.kind)(document)
        for wave in waves(
                [d for d in self.documents if d.kind not in LOOSE]):
            self._wave(wave)
        self.flush()
        self._note()

    def _wave(self, documents):
        shipping, receiving = Shipping(self), Receiving(self)
        while documents:
            shipping.find([d for d in documents
                    if d.kind in {'picked', 'packed', 'shipped'}])
            receiving.find([d for d in documents
                    if d.kind in {'voided', 'received', 'returned'}])
            # Two references can lead to one document; the later waits for what the earlier makes of it.
            taken, now = set(), []
            for document in documents:
                if document.target is not None and document.target in taken:
                    break
                taken.add(document.target)
                now.append(document)
            shipping.take([d for d in now
                    if d.kind in {'picked', 'packed', 'shipped'}])
            receiving.take([d for d in now
                    if d.kind in {'voided', 'received', 'returned'}])
            self.flush()
            documents = documents[len(now):]

    # Moves without a document of the ERP

    def _adjusted(self, document):
        for line in document.lines:
            lost = line.account or document.warehouse.lost_found_location
            if lost is None:
                refuse(document, 'SETUP', 'msg_lost_found',
                    site=document.site)
            if line.quantity > 0:
                self.move(document, line, lost, line.location)
            elif line.quantity < 0:
                self.move(document, line, line.location, lost)

    _counted = _adjusted

    def _moved(self, document):
        for line in document.lines:
            to = line.to_location or document.warehouse.storage_location
            if to != line.location:
                self.move(document, line, line.location, to)

    def _transferred(self, document):
        for line in document.lines:
            if line.to_location_code:
                to = self.transit
            else:
                # Nobody told where it goes: it is missing until a person or a receipt finds it.
                to = document.warehouse.lost_found_location
                if to is None:
                    refuse(document, 'SETUP', 'msg_lost_found',
                        site=document.site)
            self.move(document, line, line.location, to)

    def shipped_without_document(self, document):
        for line in document.lines:
            if line.quantity:
                self.move(document, line, line.location,
                    self.fixed('location_customer'))

    def received_without_document(self, document):
        for line in document.lines:
            self.move(document, line, self.fixed('location_supplier'),
                line.to_location or line.location)

    def returned_without_document(self, document):
        for line in document.lines:
            self.move(document, line, self.fixed('location_customer'),
                line.to_location or line.location)

    def move(self, document, line, from_location, to_location):
        self.add(document, line.product, line.amount, line.unit,
            from_location, to_location, line.lot)

    def add(self, document, product, quantity, unit,
            from_location, to_location, lot=None):
        move = self.Move(
            product=product, unit=unit, quantity=quantity,
            from_location=from_location, to_location=to_location,
            company=self.company, planned_date=document.date,
            effective_date=document.date, origin=document.row)
        if lot is not None:
            move.lot = lot
        if move.on_change_with_unit_price_required():
            # No order tells a price; at cost the move changes neither the average cost nor a margin.
            cost = product.get_multivalue(
                'cost_price', company=self.company.id) or Decimal(0)
            move.unit_price = self.Uom.compute_price(
                product.default_uom, cost, unit)
            move.currency = self.company.currency
        self.loose.append(move)

    def flush(self):
        if self.loose:
            self.Move.save(self.loose)
            self.Move.do(self.loose)
            self.loose = []
        self._process()

    def _process(self):
        """Let the orders see what happened to their moves.

        Tryton leaves that to its queue, which runs after the commit: a backorder
        would be missing for the next document, and for good if the server died
        in between.
        """
        done = {}
        for name, ids in (
                ('sale.sale', self.sales),
                ('purchase.purchase', self.purchases)):
            if ids:
                Model = Pool().get(name)
                Model.process(Model.browse(sorted(ids)))
                done[name] = set(ids)
        self.sales, self.purchases = set(), set()
        tasks = Transaction().tasks
        if not done or not tasks:
            return
        Queue = Pool().get('ir.queue')
        dropped = []
        for task in Queue.browse(list(tasks)):
            instances = task.data.get('instances')
            if isinstance(instances, int):
                instances = [instances]
            if (task.data.get('method') == 'process'
                    and set(instances) <= done.get(
                        task.data.get('model'), set())):
                dropped.append(task)
        for task in dropped:
            tasks.remove(task.id)
        Queue.delete(dropped)

    # The ledger's row

    def note(self, document, record):
        "Remember the ERP's document that takes the effect."
        self.records[document] = record

    def _note(self):
        Event = Pool().get('docksync.event')
        fresh = {}
        for record in self.records.values():
            fresh.setdefault(record.__name__, set()).add(record.id)
        fresh = {n: {r.id: r for r in Pool().get(n).browse(sorted(ids))}
            for n, ids in fresh.items()}
        to_write = []
        for document, record in self.records.items():
            record = fresh[record.__name__][record.id]
            document.event = f'{record.__name__} {record.rec_name}'
            to_write += [[document.row], {
                    'record': str(record),
                    'document': document.event,
                    }]
        if to_write:
            Event.write(*to_write)

    # Shared steps

    @staticmethod
    def touch(records):
        """Make a concurrent call for the same records start over.

        Two calls that only add rows beside a record would both decide without
        seeing the other's; a write to the record itself shows the conflict.
        """
        if records:
            table = records[0].__table__()
            Transaction().connection.cursor().execute(*table.update(
                    [table.write_date], [CurrentTimestamp()],
                    where=reduce_ids(table.id, [r.id for r in records])))

    def fixed(self, name):
        "A location that the stock module brings."
        if name not in self._fixed:
            self._fixed[name] = self.Location(
                self.ModelData.get_id('stock', name))
        return self._fixed[name]

    @property
    def transit(self):
        location = Pool().get('stock.configuration')(1).get_multivalue(
            'shipment_internal_transit', company=self.company.id)
        return location or self.fixed('location_transit')

    def base(self, line):
        "The line's quantity in the product's default unit."
        return self.Uom.compute_qty(
            line.unit, line.amount, line.product.default_uom)

    def in_unit(self, document, product, quantity, unit):
        "A quantity of the default unit in another one, never rounded away."
        value = self.Uom.compute_qty(
            product.default_uom, quantity, unit, round=False)
        rounded = unit.round(value)
        if abs(rounded - value) > 1e-7 * max(1, abs(value)):
            refuse(document, 'QUANTITY', 'msg_quantity_unit',
                line=product.code,
                quantity=f'{quantity:g} {product.default_uom.symbol}',
                unit=unit.symbol, digits=unit.digits)
        return rounded

    def pieces(self, document):
        """The lines of a document as `{product: {(lot, location): quantity}}`.

        A location is given only where the line names one.
        """
        pieces = defaultdict(lambda: defaultdict(float))
        for line in document.lines:
            location = line.location if line.location_code else None
            pieces[line.product][line.lot, location] += self.base(line)
        return pieces

    def check_matched(self, document, pieces, planned, target):
        for product in pieces:
            if product not in planned:
                line = next(
                    l for l in document.lines if l.product == product)
                refuse(document, 'UNMATCHED_LINE', 'msg_unmatched',
                    line=document.line_label(line),
                    record=target.rec_name,
                    expected=', '.join(
                        sorted(p.code or '' for p in planned)) or '-')

    def missing(self, document):
        "Refuse a document whose reference is unknown, unless plain moves are allowed."
        if document.without_document != 'move':
            refuse(document, 'UNKNOWN_DOCUMENT', 'msg_unknown_document',
                reference=document.reference or '-')

    def with_lots(self):
        return active('stock.lot') is not None


def waves(documents):
    """Runs of documents of which no two can mean the same document of the ERP.

    One number may stand on all shipments of a truck; it only matters to a void,
    which can name a shipment by it.
    """
    wave, references, numbers = [], set(), set()
    for document in documents:
        if ((document.reference and document.reference in references)
                or (document.kind == 'voided'
                    and document.number and document.number in numbers)):
            yield wave
            wave, references, numbers = [], set(), set()
        wave.append(document)
        references.add(document.reference)
        numbers.add(document.number)
    if wave:
        yield wave
