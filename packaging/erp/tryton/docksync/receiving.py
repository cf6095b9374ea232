# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes in: receipts, customer returns, shipments taken back."""
from collections import defaultdict

from trytond.pool import Pool

from .document import active
from .exceptions import refuse
from .shipping import EPSILON, _names, _share

GONE = ['shipped', 'done']


class Receiving:

    def __init__(self, run):
        self.run = run
        pool = Pool()
        self.Move = pool.get('stock.move')
        self.Event = pool.get('docksync.event')
        self.Shipment = pool.get('stock.shipment.out')
        self.In = pool.get('stock.shipment.in')
        self.Return = pool.get('stock.shipment.out.return')
        self.places = {}    # incoming move: where it is put away

    # What a document means

    def find(self, documents):
        for document in documents:
            document.target = getattr(self, '_find_' + document.kind)(document)

    def _find_received(self, document):
        purchases = self._orders('purchase.purchase', document)
        if not purchases:
            transit = self._in_transit(document)
            if not transit:
                self.run.missing(document)
            return None
        purchase = self._only(document, purchases)
        if purchase.warehouse != document.warehouse:
            refuse(document, 'CONFLICT', 'msg_warehouse_conflict',
                found=purchase.rec_name, site=document.site,
                other=(purchase.warehouse.code if purchase.warehouse
                    else None) or '-')
        if purchase.state not in {'confirmed', 'processing', 'done'}:
            refuse(document, 'STATE', 'msg_state', record=purchase.rec_name,
                state=purchase.state, expected='confirmed, processing')
        return purchase

    def _orders(self, name, document):
        Order = active(name)
        if Order is None or not document.reference:
            return []
        return Order.search([
                ['OR', ('reference', '=', document.reference),
                    ('number', '=', document.reference)],
                ('company', '=', self.run.company.id),
                ('state', '!=', 'cancelled'),
                ])

    def _only(self, document, records):
        if len(records) > 1:
            refuse(document, 'AMBIGUOUS_DOCUMENT', 'msg_ambiguous',
                reference=document.reference, count=len(records),
                found=_names(records))
        return records[0]

    def _find_returned(self, document):
        if not document.reference:
            self.run.missing(document)
            return None
        named = ['OR', ('reference', '=', document.reference),
            ('number', '=', document.reference)]
        own = ('company', '=', self.run.company.id)
        # A return that somebody announced in the ERP.
        returns = set(self.Return.search(
                [named, own, ('state', '=', 'draft')]))
        sales = self._orders('sale.sale', document)
        if not returns:
            for sale in sales:
                returns.update(
                    r for r in sale.shipment_returns if r.state == 'draft')
        if returns:
            record = self._only(document, sorted(returns))
            self._same_site(document, record)
            return record
        # Otherwise what was shipped under that reference comes back.
        shipments = set(self.Shipment.search(
                [named, own, ('state', 'in', GONE)]))
        if sales:
            sale = self._only(document, sales)
            shipments.update(s for s in sale.shipments if s.state in GONE)
            others = {s for s in shipments
                if any(getattr(m, 'sale', None) != sale
                    for m in s.outgoing_moves)}
            if others:
                self._only(document, sorted(shipments))
            if not shipments:
                refuse(document, 'STATE', 'msg_state', record=sale.rec_name,
                    state=sale.shipment_state, expected='sent')
            return sale
        if shipments:
            return self._only(document, sorted(shipments))
        self.run.missing(document)

    def _same_site(self, document, record):
        if record.warehouse != document.warehouse:
            refuse(document, 'CONFLICT', 'msg_warehouse_conflict',
                found=record.rec_name, site=document.site,
                other=record.warehouse.code or '-')

    def _find_voided(self, document):
        names = [(n, '=', getattr(document, n))
            for n in ('reference', 'number') if getattr(document, n)]
        if not names:
            refuse(document, 'UNKNOWN_DOCUMENT', 'msg_unknown_document',
                reference='-')
        shipped = [('kind', '=', 'shipped'), ('site', '=', document.site),
            ('id', '!=', document.row.id)]
        events = []
        # Both names together are the closest; a void often has a number of its own.
        for clause in [names] + [[n] for n in names if len(names) > 1]:
            events = self.Event.search(
                shipped + [('voided_by', '=', None)] + clause)
            if events:
                break
        if len(events) > 1:
            refuse(document, 'AMBIGUOUS_DOCUMENT', 'msg_ambiguous',
                reference=document.reference or document.number,
                count=len(events), found=_names(events))
        if events:
            event, = events
            if event.record is None:
                return event
            shipment = event.record
        else:
            shipment = self._shipped_by_hand(document, shipped, names)
        if shipment.state != 'done':
            refuse(document, 'STATE', 'msg_state', record=shipment.rec_name,
                state=shipment.state, expected='done')
        return shipment

    def _shipped_by_hand(self, document, shipped, names):
        voided = self.Event.search(
            shipped + [('voided_by', '!=', None), ['OR', *names]], limit=1)
        found = [] if not document.reference else self.Shipment.search([
                ['OR', ('reference', '=', document.reference),
                    ('number', '=', document.reference)],
                ('company', '=', self.run.company.id),
                ('warehouse', '=', document.warehouse.id),
                ('state', '!=', 'cancelled'),
                ])
        if voided:
            refuse(document, 'STATE', 'msg_voided',
                record=voided[0].text)
        if not found:
            refuse(document, 'UNKNOWN_DOCUMENT', 'msg_unknown_document',
                reference=document.reference or document.number)
        return self._only(document, found)

    # What becomes of it

    def take(self, documents):
        ins, returns = [], []
        for document in documents:
            kind = document.kind
            if kind == 'received':
                if document.target is None:
                    if not self._from_transit(document):
                        self.run.received_without_document(document)
                else:
                    ins.append((document, self._receipt(document)))
            elif kind == 'returned':
                if document.target is None:
                    self.run.returned_without_document(document)
                elif isinstance(document.target, self.Return):
                    returns.append((document, self._announced(document)))
                else:
                    returns.append((document, self._return(document)))
            elif kind == 'voided':
                if isinstance(document.target, self.Event):
                    self._void_moves(document)
                else:
                    returns.append((document, self._void(document)))
        self._finish(self.In, ins)
        self._finish(self.Return, returns)

    def _finish(self, Shipment, pairs):
        if not pairs:
            return
        for document, shipment in pairs:
            self.run.note(document, shipment)
        ids = [s.id for _, s in pairs]
        Shipment.receive(Shipment.browse(ids))
        shipments = Shipment.browse(ids)
        self._put_away(shipments)
        Shipment.do([s for s in Shipment.browse(ids)
                if s.state == 'received'])

    def _put_away(self, shipments):
        "Send goods that a line has a place for there instead of to the storage place."
        changes = []
        for shipment in shipments:
            for move in shipment.inventory_moves:
                place = self.places.get(_raw_id(move.origin))
                if (place is not None and place != move.to_location
                        and move.state == 'draft'):
                    changes += [[move], {'to_location': place.id}]
        if changes:
            self.Move.write(*changes)

    def _pieces(self, document):
        "As Run.pieces, with the place where the goods go."
        pieces = defaultdict(lambda: defaultdict(float))
        for line in document.lines:
            place = line.to_location or (
                line.location if line.location_code else None)
            pieces[line.product][line.lot, place] += self.run.base(line)
        return pieces

    # Receipts

    def _receipt(self, document):
        purchase = document.target
        planned = defaultdict(list)
        for move in purchase.moves:
            if (move.state in {'staging', 'draft'} and not move.shipment
                    and move.to_location.type != 'supplier'):
                planned[move.product].append(move)
        if not planned:
            refuse(document, 'STATE', 'msg_nothing_open',
                record=purchase.rec_name)
        pieces = self._pieces(document)
        self.run.check_matched(document, pieces, planned, purchase)
        incoming = self._actual(document, planned, pieces)
        shipment = self.In(
            company=self.run.company, supplier=purchase.party,
            warehouse=document.warehouse,
            reference=document.number or document.reference,
            planned_date=document.date, effective_date=document.date)
        shipment.on_change_supplier()
        shipment.on_change_warehouse()
        shipment.save()
        self.Move.write(incoming, {'shipment': str(shipment)})
        self.run.purchases.add(purchase.id)
        return shipment

    def _actual(self, document, planned, pieces):
        "Set the open moves to what came; the order makes a new move for the rest."
        changes, copies, incoming = [], [], []
        for product, wanted in pieces.items():
            moves = planned[product]
            shares = _share(moves, wanted, True)
            for move in moves:
                if not shares[move]:
                    continue
                (key, quantity), *more = shares[move]
                changes += [[move], self._values(
                        document, move, key, quantity)]
                incoming.append(move)
                self._place(move, key)
                for key, quantity in more:
                    copies.append(
                        (move, key, self._values(
                            document, move, key, quantity)))
        if changes:
            self.Move.write(*changes)
        for move, key, values in copies:
            copy, = self.Move.copy([move], dict(
                    values, origin=str(move.origin) if move.origin else None))
            incoming.append(copy)
            self._place(copy, key)
        return incoming

    def _values(self, document, move, key, quantity):
        values = {
            'quantity': self.run.in_unit(
                document, move.product, quantity, move.unit),
            'effective_date': document.date,
            }
        if key[0] is not None:
            values['lot'] = key[0].id
        return values

    def _place(self, move, key):
        if key[1] is not None:
            self.places[move.id] = key[1]

    # Goods of a transfer

    def _in_transit(self, document):
        "What left another site under the reference and has not arrived: {(product, lot): quantity}."
        if not document.reference:
            return {}
        transit = self.run.transit
        left = defaultdict(float)
        events = self.Event.search([
                ('reference', '=', document.reference),
                ('kind', 'in', ['transferred', 'received']),
                ('id', '!=', document.row.id),
                ])
        self.run.touch([e for e in events if e.kind == 'transferred'])
        for event in events:
            for move in event.moves:
                lot = move.lot if self.run.with_lots() else None
                if move.to_location == transit:
                    left[move.product, lot] += move.internal_quantity
                elif move.from_location == transit:
                    left[move.product, lot] -= move.internal_quantity
        return {k: q for k, q in left.items() if q > EPSILON}

    def _from_transit(self, document):
        left = self._in_transit(document)
        if not left:
            return False
        for line in document.lines:
            need = self.run.base(line)
            keys = sorted(
                (k for k in left if k[0] == line.product),
                key=lambda k: k[1] != line.lot)
            if not keys:
                refuse(document, 'UNMATCHED_LINE', 'msg_unmatched',
                    line=document.line_label(line),
                    record=document.reference,
                    expected=', '.join(sorted(
                            {p.code or '' for p, _ in left})))
            if need > sum(left[k] for k in keys) + EPSILON:
                refuse(document, 'QUANTITY', 'msg_more',
                    line=document.line_label(line),
                    found=f'{need:g}',
                    record=document.reference,
                    expected=f'{sum(left[k] for k in keys):g}')
            for key in keys:
                taken = min(need, left[key])
                if taken <= EPSILON:
                    continue
                self.run.add(document, line.product,
                    line.product.default_uom.round(taken),
                    line.product.default_uom, self.run.transit,
                    line.to_location or line.location, line.lot or key[1])
                left[key] -= taken
                need -= taken
        return True

    # Customer returns

    def _announced(self, document):
        record = document.target
        planned = defaultdict(list)
        for move in record.incoming_moves:
            if move.state == 'draft':
                planned[move.product].append(move)
        pieces = self._pieces(document)
        self.run.check_matched(document, pieces, planned, record)
        incoming = {m.id for m in self._actual(document, planned, pieces)}
        # The sale makes a new move for what has not come back yet.
        self.Move.delete([m for moves in planned.values() for m in moves
                if m.id not in incoming])
        self.Return.write([record], {'effective_date': document.date})
        for move in record.incoming_moves:
            if getattr(move, 'sale', None):
                self.run.sales.add(move.sale.id)
        return record

    def _return(self, document):
        target = document.target
        if isinstance(target, self.Shipment):
            shipments = [target]
        else:
            shipments = [s for s in target.shipments if s.state in GONE]
        out = [m for s in shipments for m in s.outgoing_moves
            if m.state == 'done']
        return self._back(document, shipments[0], out, target)

    def _back(self, document, shipment, out, target):
        "A return shipment for goods that went out with the moves."
        planned = self._returnable(out)
        pieces = self._pieces(document)
        if not document.lines:
            for product, moves in planned.items():
                for move, left in moves:
                    lot = move.lot if self.run.with_lots() else None
                    pieces[product][lot, None] += left
        self.run.check_matched(document, pieces, planned, target)
        incoming = []
        for product, wanted in pieces.items():
            free = dict(planned[product])
            for (lot, place), need in wanted.items():
                for move in sorted(free, key=lambda m: (
                            lot is not None
                            and getattr(m, 'lot', None) != lot, m.id)):
                    taken = min(need, free[move])
                    if taken <= EPSILON:
                        continue
                    free[move] -= taken
                    need -= taken
                    incoming.append((self._incoming(
                                document, shipment, move, taken, lot),
                            place))
                if need > EPSILON:
                    refuse(document, 'QUANTITY', 'msg_more',
                        line=product.code, record=target.rec_name,
                        found=f'{sum(wanted.values()):g}',
                        expected=f'{sum(dict(planned[product]).values()):g}')
        if not incoming:
            refuse(document, 'STATE', 'msg_nothing_open',
                record=target.rec_name)
        record = self.Return(
            company=self.run.company, customer=shipment.customer,
            warehouse=document.warehouse,
            reference=document.reference or document.number,
            planned_date=document.date, effective_date=document.date)
        record.on_change_customer()
        record.contact_address = shipment.delivery_address
        record.on_change_warehouse()
        record.save()
        moves = [m for m, _ in incoming]
        for move in moves:
            move.shipment = record
        self.Move.save(moves)
        for move, place in incoming:
            if place is not None:
                self.places[move.id] = place
        return record

    def _returnable(self, out):
        "What of each move has not come back: {product: [(move, quantity)]}."
        back = defaultdict(float)
        if out:
            for move in self.Move.search([
                        ('origin', 'in', [str(m) for m in out]),
                        ('from_location.type', '=', 'customer'),
                        ('state', '=', 'done'),
                        ]):
                back[move.origin.id] += move.internal_quantity
        planned = defaultdict(list)
        for move in out:
            left = move.internal_quantity - back[move.id]
            if left > EPSILON:
                planned[move.product].append((move, left))
        return planned

    def _incoming(self, document, shipment, out, quantity, lot):
        move = self.Move(
            product=out.product, unit=out.unit,
            quantity=self.run.in_unit(
                document, out.product, quantity, out.unit),
            from_location=shipment.customer.customer_location,
            to_location=document.warehouse.input_location,
            company=self.run.company, planned_date=document.date,
            effective_date=document.date, origin=out,
            unit_price=out.unit_price, currency=out.currency)
        if self.run.with_lots():
            move.lot = lot or out.lot
        return move

    # Shipments taken back

    def _void(self, document):
        shipment = document.target
        out = [m for m in shipment.outgoing_moves if m.state == 'done']
        if not self._returnable(out):
            refuse(document, 'STATE', 'msg_voided', record=shipment.rec_name)
        record = self._back(document, shipment, out, shipment)
        self._mark_voided(document, [('record', '=', str(shipment))])
        self._reopen(record)
        return record

    def _reopen(self, record):
        "Mark what never left, so that its order plans it again."
        back = defaultdict(float)
        for move in record.incoming_moves:
            back[move.origin] += move.internal_quantity
        changes = []
        for out, quantity in back.items():
            changes += [[out], {
                    'docksync_voided': (out.docksync_voided or 0) + quantity}]
            if getattr(out, 'sale', None):
                self.run.sales.add(out.sale.id)
        self.Move.write(*changes)

    def _void_moves(self, document):
        event = document.target
        planned = defaultdict(list)
        for move in event.moves:
            if move.state == 'done' and move.to_location.type == 'customer':
                planned[move.product].append(move)
        pieces = self.run.pieces(document)
        self.run.check_matched(document, pieces, planned, event)
        for product, moves in planned.items():
            if document.lines and product not in pieces:
                continue
            wanted = sum(pieces[product].values()) if document.lines else None
            total = sum(m.internal_quantity for m in moves)
            if wanted is not None and wanted > total + EPSILON:
                refuse(document, 'QUANTITY', 'msg_more', line=product.code,
                    record=event.rec_name, found=f'{wanted:g}',
                    expected=f'{total:g}')
            for move in moves:
                taken = move.internal_quantity
                if wanted is not None:
                    taken = min(taken, wanted)
                    wanted -= taken
                if taken > EPSILON:
                    self.run.add(document, product,
                        product.default_uom.round(taken),
                        product.default_uom, move.to_location,
                        move.from_location,
                        move.lot if self.run.with_lots() else None)
        self._mark_voided(document, [('id', '=', event.id)])

    def _mark_voided(self, document, clause):
        events = self.Event.search(
            [('kind', '=', 'shipped'), ('voided_by', '=', None), clause])
        if events:
            self.Event.write(events, {'voided_by': document.row.id})


def _raw_id(origin):
    return getattr(origin, 'id', None)
