# SPDX-License-Identifier: GPL-3.0-or-later
"""What is picked, packed and shipped against customer shipments.

Physical truth wins: goods that left are booked whether or not the ERP thought
them there, and a shipment is never moved back to an earlier state.
"""
from collections import defaultdict

from trytond.pool import Pool
from trytond.transaction import Transaction

from .document import active
from .exceptions import refuse

OPEN = ['draft', 'waiting', 'assigned', 'picked', 'packed', 'shipped']
BEFORE_PICK = {'draft', 'waiting', 'assigned'}
# Below this a difference is noise of binary fractions; events carry six decimals.
EPSILON = 1e-7


class Shipping:

    def __init__(self, run):
        self.run = run
        self.Shipment = Pool().get('stock.shipment.out')
        self.Move = Pool().get('stock.move')
        self.Progress = Pool().get('docksync.progress')
        self._reset()

    def _reset(self):
        self.goals = {}     # shipment id: 'picked' | 'packed' | 'done'
        self.asked = {}     # shipment id: the document that asks for it
        self.redraft = []
        self.changes = []
        self.copies = []
        self.cancelled = defaultdict(set)   # shipment id: sale line ids

    # Which shipment a document means

    def find(self, documents):
        if not documents:
            return
        references = sorted(
            {d.reference for d in documents if d.reference})
        by_name = defaultdict(set)
        if references:
            for shipment in self.Shipment.search([
                        ['OR',
                            ('reference', 'in', references),
                            ('number', 'in', references)],
                        ('company', '=', self.run.company.id),
                        ('state', '!=', 'cancelled'),
                        ]):
                by_name[shipment.reference].add(shipment)
                by_name[shipment.number].add(shipment)
        for document in documents:
            document.target = None
            if document.reference:
                document.target = self._choose(
                    document, by_name[document.reference])
            if document.target is not None:
                self.run.note(document, document.target)
            elif document.kind == 'shipped':
                self.run.missing(document)
            elif document.without_document != 'move':
                self.run.missing(document)

    def _choose(self, document, candidates):
        candidates = set(candidates)
        open_ = {s for s in candidates if s.state in OPEN}
        if not open_:
            # A backorder has no reference of its own; its sale has.
            for sale in self._sales(document.reference):
                candidates.update(
                    s for s in sale.shipments if s.state != 'cancelled')
            open_ = {s for s in candidates if s.state in OPEN}
        here = {s for s in open_ if s.warehouse == document.warehouse}
        if len(here) > 1:
            refuse(document, 'AMBIGUOUS_DOCUMENT', 'msg_ambiguous',
                reference=document.reference, count=len(here),
                found=_names(here))
        if here:
            return here.pop()
        if open_:
            refuse(document, 'CONFLICT', 'msg_warehouse_conflict',
                found=_names(open_), site=document.site,
                other=', '.join(sorted(
                        {s.warehouse.code or '' for s in open_})))
        done = {s for s in candidates if s.warehouse == document.warehouse}
        if document.kind != 'shipped' and len(done) == 1:
            # Late news of goods that have left already; there is nothing to move.
            return done.pop()
        if done and document.kind == 'shipped':
            refuse(document, 'STATE', 'msg_state',
                record=_names(done), state='done',
                expected=', '.join(OPEN))
        if candidates and document.kind == 'shipped':
            refuse(document, 'CONFLICT', 'msg_warehouse_conflict',
                found=_names(candidates), site=document.site,
                other=', '.join(sorted(
                        {s.warehouse.code or '' for s in candidates})))

    def _sales(self, reference):
        Sale = active('sale.sale')
        if Sale is None:
            return []
        return Sale.search([
                ['OR', ('reference', '=', reference),
                    ('number', '=', reference)],
                ('company', '=', self.run.company.id),
                ('state', 'in', ['confirmed', 'processing', 'done']),
                ])

    # What becomes of it

    def take(self, documents):
        for document in documents:
            if document.target is None and document.kind == 'shipped':
                self.run.shipped_without_document(document)
        documents = [d for d in documents if d.target is not None]
        if not documents:
            return
        self._reset()
        drafts = [d.target for d in documents if d.target.state == 'draft']
        if drafts:
            self.Shipment.wait(drafts)
        shipments = {s.id: s for s in self.Shipment.browse(
                [d.target.id for d in documents])}
        for document in documents:
            document.target = shipments[document.target.id]
        self._picked([d for d in documents if d.kind == 'picked'])
        self._packed([d for d in documents if d.kind == 'packed'])
        self._shipped([d for d in documents if d.kind == 'shipped'])
        self._advance()

    @staticmethod
    def _one_step(shipment):
        return shipment.warehouse_storage == shipment.warehouse_output

    def _planned(self, shipment):
        "The moves that carry the shipment's quantities in its state, by product."
        if shipment.state in BEFORE_PICK and not self._one_step(shipment):
            moves = shipment.inventory_moves
        else:
            moves = shipment.outgoing_moves
        planned = defaultdict(list)
        for move in moves:
            if move.state not in {'done', 'cancelled'}:
                planned[move.product].append(move)
        return planned

    def _record(self, documents, stage):
        values = []
        for document in documents:
            for line in document.lines:
                values.append({
                        'event': document.row.id,
                        'stage': stage,
                        'shipment': document.target.id,
                        'product': line.product.id,
                        'quantity': self.run.base(line),
                        'lot_number': line.lot_number,
                        'location': (line.location.id
                            if line.location_code else None),
                        'short': line.short,
                        'container': line.container or (
                            document.number if stage == 'packed' else None),
                        'used': False,
                        })
        if values:
            self.Progress.create(values)

    def _rows(self, shipments, stage):
        rows = defaultdict(list)
        for row in self.Progress.search([
                    ('shipment', 'in', [s.id for s in shipments]),
                    ('stage', '=', stage),
                    ('used', '=', False),
                    ], order=[('id', 'ASC')]):
            rows[row.shipment.id].append(row)
        return rows

    def _picked(self, documents):
        documents = [d for d in documents if d.target.state in BEFORE_PICK]
        for document in documents:
            self.run.check_matched(document, self.run.pieces(document),
                self._planned(document.target), document.target)
        if not documents:
            return
        self.run.touch([d.target for d in documents])
        self._record(documents, 'picked')
        rows = self._rows([d.target for d in documents], 'picked')
        for document in documents:
            shipment = document.target
            planned = self._planned(shipment)
            done, closed = defaultdict(float), set()
            pieces = defaultdict(lambda: defaultdict(float))
            for row in rows[shipment.id]:
                done[row.product] += row.quantity
                if row.short:
                    closed.add(row.product)
                pieces[row.product][
                    self._lot(row), row.location] += row.quantity
            if all(p in closed
                    or done[p] >= sum(m.internal_quantity for m in moves)
                    - EPSILON
                    for p, moves in planned.items()):
                self._set(document, planned, pieces)
                self.goals[shipment.id] = 'picked'
                self.asked[shipment.id] = document
                self._used(rows[shipment.id])

    def _used(self, rows):
        if rows:
            self.Progress.write(rows, {'used': True})

    def _lot(self, row):
        Lot = active('stock.lot')
        if Lot is None or not row.lot_number:
            return None
        lots = Lot.search([
                ('product', '=', row.product.id),
                ('number', '=', row.lot_number),
                ], order=[('id', 'ASC')], limit=1)
        return lots[0] if lots else None

    def _packed(self, documents):
        documents = [d for d in documents
            if d.target.state in BEFORE_PICK | {'picked'}]
        for document in documents:
            self.run.check_matched(document, self.run.pieces(document),
                self._planned(document.target), document.target)
        self.run.touch([d.target for d in documents])
        self._record(documents, 'packed')
        for document in documents:
            if document.target.state == 'picked':
                self.goals[document.target.id] = 'picked'
                self.asked[document.target.id] = document

    def _shipped(self, documents):
        for document in documents:
            shipment = document.target
            planned = self._planned(shipment)
            pieces = self.run.pieces(document)
            self.run.check_matched(document, pieces, planned, shipment)
            cancel = {l.product for l in document.lines
                if l.short == 'cancel'}
            for move in shipment.outgoing_moves:
                if getattr(move, 'sale', None):
                    self.run.sales.add(move.sale.id)
                    if move.product in cancel:
                        self.cancelled[shipment.id].add(move.origin.id)
            self._set(document, planned, pieces)
            self.goals[shipment.id] = 'done'
            self.asked[shipment.id] = document
        with_containers = [d for d in documents
            if any(l.container for l in d.lines)
            and not getattr(d.target, 'packages', None)]
        if with_containers:
            # What was packed of it before is told again by the shipment itself.
            rows = self._rows([d.target for d in with_containers], 'packed')
            self._used([r for l in rows.values() for r in l])
            self._record(with_containers, 'packed')

    # Quantities

    def _set(self, document, planned, pieces):
        """Set the moves to what really went.

        Less than planned is left on the last moves of a product, more is put
        onto its very last one, and a lot or place of its own gets a move of
        its own.
        """
        shipment = document.target
        picked = (shipment.state not in BEFORE_PICK
            and not self._one_step(shipment))
        for product, moves in planned.items():
            shares = _share(moves, pieces.get(product, {}), picked)
            for move in moves:
                self._set_move(document, move, shares[move], picked)
            if picked:
                self._correct(document, product, moves, shares)

    def _set_move(self, document, move, shares, picked):
        run = self.run
        first, *more = shares or [((move.lot if run.with_lots() else None,
                    None), 0.0)]
        values = self._values(document, move, first, picked)
        changed = {n: v for n, v in values.items()
            if v != _raw(getattr(move, n))}
        if changed:
            if move.state == 'assigned':
                self.redraft.append(move)
            self.changes += [[move], changed]
        for share in more:
            values = self._values(document, move, share, picked)
            values.setdefault('from_location', move.from_location.id)
            values.update({
                    'product': move.product.id,
                    'unit': move.unit.id,
                    'to_location': move.to_location.id,
                    'company': move.company.id,
                    'planned_date': move.planned_date,
                    'unit_price': move.unit_price,
                    'currency': move.currency.id if move.currency else None,
                    'shipment': str(move.shipment),
                    'origin': str(move.origin) if move.origin else None,
                    })
            if getattr(move, 'package', None):
                values['package'] = move.package.id
            self.copies.append(values)

    def _values(self, document, move, share, picked):
        (lot, location), quantity = share
        values = {'quantity': self.run.in_unit(
                document, move.product, quantity, move.unit)}
        if lot is not None:
            values['lot'] = lot.id
        if location is not None and not picked:
            values['from_location'] = location.id
        return values

    def _correct(self, document, product, moves, shares):
        """Bring what stands in the output place in line with what left it.

        The pick is done and stays done; goods that were picked and did not go
        are back in the storage place, and goods that went unpicked came from it.
        """
        shipment = document.target
        balance = defaultdict(float)
        for move in moves:
            lot = move.lot if self.run.with_lots() else None
            balance[lot] += move.internal_quantity
            for (share_lot, _), quantity in shares[move]:
                balance[share_lot or lot] -= quantity
        storage, output = (
            shipment.warehouse_storage, shipment.warehouse_output)
        for lot, quantity in balance.items():
            quantity = product.default_uom.round(quantity)
            if quantity > 0:
                self.run.add(document, product, quantity,
                    product.default_uom, output, storage, lot)
            elif quantity < 0:
                self.run.add(document, product, -quantity,
                    product.default_uom, storage, output, lot)

    # States

    def _advance(self):
        if not self.goals:
            return
        Move, Shipment = self.Move, self.Shipment
        if self.redraft:
            Move.draft(self.redraft)
        if self.changes:
            Move.write(*self.changes)
        if self.copies:
            Move.create(self.copies)
        ids = sorted(self.goals)
        done = [i for i in ids if self.goals[i] == 'done']

        dates = []
        for shipment in Shipment.browse(done):
            date = self.asked[shipment.id].date
            if shipment.effective_date != date:
                dates += [[shipment], {'effective_date': date}]
        if dates:
            Shipment.write(*dates)

        shipments = Shipment.browse(ids)
        waiting = [s for s in shipments if s.state == 'waiting']
        if waiting:
            Shipment.assign_force(waiting)
        assigned = [s for s in Shipment.browse(ids)
            if s.state == 'assigned']
        again = [m for s in assigned for m in s.assign_moves
            if m.state == 'draft']
        if again:
            Move.assign(again)
        two_step = [s for s in assigned if not self._one_step(s)]
        if two_step:
            Shipment.pick(two_step)

        self._packages([s for s in Shipment.browse(ids)
                if s.state == 'picked'
                or s.state == 'assigned' and self._one_step(s)])
        if not done:
            return
        ready = [s for s in Shipment.browse(done)
            if s.state in {'picked', 'assigned'}]
        if ready:
            Shipment.pack(ready)
        packed = Shipment.browse(done)
        again = [m for s in packed for m in s.outgoing_moves
            if m.state == 'draft']
        if again:
            Move.assign(again)
        # A correction fills the output place before the goods leave it.
        if self.run.loose:
            Move.save(self.run.loose)
            Move.do(self.run.loose)
            self.run.loose = []
        Shipment.do([s for s in Shipment.browse(done)
                if s.state in {'packed', 'shipped'}])
        self._cancel_remainders()

    def _packages(self, shipments):
        Package = active('stock.package')
        if Package is None or not shipments:
            return
        rows = self._rows(shipments, 'packed')
        for shipment in shipments:
            document = self.asked[shipment.id]
            closing = self.goals[shipment.id] == 'done'
            packages = {p.number: p for p in shipment.packages}
            for row in rows[shipment.id]:
                package = packages.get(row.container)
                if package is None:
                    package = packages[row.container] = self._package(
                        document, shipment, row.container)
                self._fill(document, shipment, package, row, closing)
            if closing and packages:
                # Tryton wants every move of a shipment with packages in one of them.
                left = [m for m in self._outgoing(shipment)
                    if not m.package]
                if left:
                    package = self._package(document, shipment, None)
                    self.Move.write(left, {'package': package.id})
            self._used(rows[shipment.id])

    def _outgoing(self, shipment):
        return [m for m in self.Shipment(shipment.id).outgoing_moves
            if m.quantity and m.state != 'cancelled']

    def _package(self, document, shipment, number):
        pool = Pool()
        Package, Type = pool.get('stock.package'), pool.get(
            'stock.package.type')
        types = Type.search([], order=[('id', 'ASC')], limit=1)
        if not types:
            refuse(document, 'SETUP', 'msg_package_type')
        values = {
            'type': types[0].id,
            'company': self.run.company.id,
            'shipment': str(shipment),
            }
        if number:
            values['number'] = number
        package, = Package.create([values])
        return package

    def _fill(self, document, shipment, package, row, closing):
        need = row.quantity
        for move in self._outgoing(shipment):
            if need <= EPSILON:
                break
            if (move.package or move.product != row.product
                    or row.lot_number and self.run.with_lots()
                    and (move.lot.number if move.lot else None)
                    not in {None, row.lot_number}):
                continue
            if move.internal_quantity > need + EPSILON:
                part = self.run.in_unit(
                    document, move.product, need, move.unit)
                # The context lets a move that is no draft any more be divided.
                with Transaction().set_context(_stock_move_split=True):
                    self.Move.copy([move], {
                            'quantity': move.unit.round(
                                move.quantity - part)})
                move.quantity = part
                taken = need
            else:
                taken = move.internal_quantity
            move.package = package
            move.save()
            need -= taken
        if need > EPSILON and not closing:
            refuse(document, 'QUANTITY', 'msg_packed_more',
                product=row.product.code, record=shipment.rec_name,
                packed=f'{row.quantity:g}', left=f'{row.quantity - need:g}')

    def _cancel_remainders(self):
        """Close what was ordered and will not be sent.

        A cancelled move for the remainder, which the order is told to ignore,
        is what a person leaves behind who cancels a backorder by hand.
        """
        ids = sorted({i for s in self.cancelled.values() for i in s})
        if not ids:
            return
        Line = Pool().get('sale.line')
        dates = {i: self.asked[s].date
            for s, lines in self.cancelled.items() for i in lines}
        moves = []
        for line in Line.browse(ids):
            move = line.get_move('out')
            if move is not None:
                move.planned_date = dates[line.id]
                moves.append(move)
        if not moves:
            return
        self.Move.save(moves)
        self.Move.cancel(moves)
        ignored = []
        for move in moves:
            ignored += [[move.origin], {
                    'moves_ignored': [('add', [move.id])]}]
        Line.write(*ignored)


def _share(moves, pieces, picked):
    "Deal the pieces of one product out to its moves."
    rest = {k: q for k, q in pieces.items() if q > 0}
    capacity = {m: m.internal_quantity for m in moves}
    shares = {m: [] for m in moves}

    def deal(move, fits, limit=True):
        for key in list(rest):
            if not fits(key):
                continue
            taken = min(rest[key], capacity[move]) if limit else rest[key]
            if taken <= EPSILON:
                continue
            _add(shares[move], key, taken)
            capacity[move] -= taken
            rest[key] -= taken
            if rest[key] <= EPSILON:
                del rest[key]

    for move in moves:
        lot = getattr(move, 'lot', None)
        if lot is not None:
            deal(move, lambda key: key[0] == lot)
    for move in moves:
        deal(move, lambda key: True)
    deal(moves[-1], lambda key: True, limit=False)
    return shares


def _add(shares, key, quantity):
    for i, (known, so_far) in enumerate(shares):
        if known == key:
            shares[i] = (key, so_far + quantity)
            return
    shares.append((key, quantity))


def _raw(value):
    return getattr(value, 'id', value)


def _names(records):
    return ', '.join(sorted(r.rec_name for r in records))
