"""Tests of the Tryton module through its calls, on a running server.

Started by tests/erp/run. Every test takes shipments and purchases of the seed
that no other test has used, so that their order does not matter.
"""
import datetime as dt
import itertools
import json
import os
import signal
import subprocess
import threading
import time
import unittest
import uuid

from client import Client, Fault



def instance():
    with open(os.environ['TRYTON_INSTANCE']) as file:
        return json.load(file)


INSTANCE = instance()
CLIENT = ADMIN = None
TODAY = dt.date.today().isoformat()
_numbers = itertools.count(1)
_taken = set()


def connect(user='docksync'):
    return Client(INSTANCE['url'], INSTANCE['database'], user,
        'admin-test-pw' if user == 'admin' else INSTANCE['password'])


def setUpModule():
    global CLIENT, ADMIN
    CLIENT, ADMIN = connect(), connect('admin')


def line(product, quantity, **more):
    return {
        'product': product, 'quantity': str(quantity), 'unit': None,
        'lot': None, 'location': None, 'to_location': None, 'line': None,
        'short': None, 'container': None, **more}


def document(kind, lines, site='DC1', **more):
    return {
        'key': f'{kind}:{uuid.uuid4()}', 'event_id': str(uuid.uuid4()),
        'kind': kind, 'site': site, 'date': TODAY, 'reference': None,
        'number': None, 'source': 'test', 'trace': '00-test',
        'without_document': 'refuse', 'lines': lines, **more}


def stock(site='DC1', client=None):
    "Balances of a site: {(product, lot, location): quantity}."
    return {(p, l, c): float(q) for p, l, c, q in (
            client or CLIENT).call('docksync.event', 'stock', site)}


def total(product, site='DC1'):
    return sum(q for k, q in stock(site).items() if k[0] == product)


def shipment(id_):
    return CLIENT.call('stock.shipment.out', 'read', [id_], [
            'state', 'reference', 'number', 'warehouse.code',
            'effective_date'])[0]


def moves(ids):
    return CLIENT.call('stock.move', 'read', ids, [
            'quantity', 'state', 'product.code', 'from_location.code',
            'to_location.code', 'from_location.type', 'to_location.type',
            'internal_quantity', 'unit.symbol', 'origin', 'lot'])


def waiting(lines=1, site='DC1', least=2):
    "An open shipment of the seed that nobody has used: its id, reference and {product: quantity}."
    for found in CLIENT.search('stock.shipment.out', [
                ('state', '=', 'waiting'), ('warehouse.code', '=', site),
                ('reference', 'like', 'WEB-%'),
                ], ['reference', 'inventory_moves']):
        if found['id'] in _taken:
            continue
        planned = {m['product.']['code']: m['quantity']
            for m in moves(found['inventory_moves'])}
        if (len(planned) == len(found['inventory_moves']) >= lines
                and min(planned.values()) >= least):
            _taken.add(found['id'])
            return found['id'], found['reference'], planned
    raise LookupError('the seed has no such shipment left')


def sale(reference):
    return CLIENT.search('sale.sale', [('reference', '=', reference)], [
            'state', 'shipment_state', 'shipments', 'shipment_returns'])[0]


def purchase(site='DC1'):
    for found in CLIENT.search('purchase.purchase', [
                ('state', '=', 'processing'), ('warehouse.code', '=', site),
                ], ['reference', 'moves']):
        if ('po', found['id']) in _taken:
            continue
        open_ = [m for m in moves(found['moves']) if m['state'] == 'draft']
        if open_:
            _taken.add(('po', found['id']))
            return found['id'], found['reference'], {
                m['product.']['code']: m['quantity'] for m in open_}
    raise LookupError('the seed has no such purchase left')


_products = (f'SKU-{n:04d}' for n in range(200, 0, -1))


def sku():
    return next(_products)


def id_of(model, **values):
    found = ADMIN.search(
        model, [(k, '=', v) for k, v in values.items()], ['id'])
    return found[0]['id']


class Case(unittest.TestCase):

    def applied(self, *documents, client=None):
        answer = (client or CLIENT).apply(*documents)
        self.assertEqual([d['key'] for d in documents],
            [a[0] for a in answer])
        self.assertEqual({'applied'}, {a[1] for a in answer})
        return [a[2] for a in answer]

    def refused(self, code, *documents, by=-1, client=None):
        with self.assertRaises(Fault) as caught:
            (client or CLIENT).apply(*documents)
        self.assertEqual('UserError', caught.exception.kind)
        said, message = caught.exception.refusal, caught.exception.message
        self.assertEqual(
            (documents[by]['key'], code), (said['key'], said['code']), message)
        # The labels are those with which the sentence begins: without them
        # two refusals of one cause read alike.
        start = f'Document "{said["document"]}"'
        if said['line'] is not None:
            start += f', line {said["line"]}: '
        self.assertTrue(message.startswith(start), (start, message))
        self.assertEqual([], CLIENT.call('docksync.event', 'lookup',
                [d['key'] for d in documents]))
        return caught.exception.message

    def changes(self, product, delta, site='DC1'):
        "Context: the site's balance of the product changes by so much."
        test = self

        class Changes:
            def __enter__(self):
                self.before = total(product, site)

            def __exit__(self, kind, *_):
                if kind is None:
                    test.assertEqual(
                        delta, total(product, site) - self.before)
        return Changes()


class Adjustments(Case):

    def test_an_adjustment_moves_between_storage_and_lost_and_found(self):
        up, down = sku(), sku()
        with self.changes(up, 3), self.changes(down, -2):
            self.applied(document('adjusted', [line(up, 3), line(down, -2)]))

    def test_an_adjustment_can_name_its_place(self):
        product = sku()
        self.applied(document(
                'adjusted', [line(product, 3, location='DC1-DMG')]))
        self.assertEqual(3, stock()[product, None, 'DC1-DMG'])

    def test_an_adjustment_can_name_where_it_is_booked(self):
        product = sku()
        events = [
            document('adjusted', [line(product, -2, account='DC1-SCRAP')]),
            document('adjusted', [line(product, 3, account='DC1-SCRAP')]),
            document('counted', [line(product, -1)])]
        with self.changes(product, 0):
            self.applied(*events)
        ends = []
        for event in events:
            row, = CLIENT.search('docksync.event',
                [('key', '=', event['key'])], ['moves'])
            move, = ADMIN.search('stock.move', [('id', 'in', row['moves'])],
                ['from_location.code', 'to_location.code'])
            ends.append((move['from_location.']['code'],
                    move['to_location.']['code']))
        self.assertEqual([
                ('DC1-STO', 'DC1-SCRAP'), ('DC1-SCRAP', 'DC1-STO'),
                ('DC1-STO', 'DC1-LF')], ends)

    def test_a_place_that_holds_stock_is_no_account(self):
        for account in ('DC1-DMG', 'NOWHERE'):
            self.refused('UNKNOWN_LOCATION',
                document('adjusted', [line(sku(), 1, account=account)]))

    def test_a_count_keeps_its_kind_and_a_zero_moves_nothing(self):
        product, same = sku(), sku()
        counted = document('counted', [line(product, -4), line(same, 0)])
        with self.changes(product, -4), self.changes(same, 0):
            self.applied(counted)
        row, = CLIENT.search('docksync.event',
            [('key', '=', counted['key'])],
            ['kind', 'moves', 'site', 'event_id', 'traceparent', 'source'])
        self.assertEqual('counted', row['kind'])
        self.assertEqual(counted['event_id'], row['event_id'])
        self.assertEqual('00-test', row['traceparent'])
        self.assertEqual(1, len(row['moves']))

    def test_a_status_change_moves_within_the_site(self):
        product = sku()
        with self.changes(product, 0):
            self.applied(document(
                    'moved', [line(product, 5, to_location='DC1-DMG')]))
        self.assertEqual(5, stock()[product, None, 'DC1-DMG'])
        self.applied(document(
                'moved', [line(product, 5, location='DC1-DMG')]))
        self.assertNotIn((product, None, 'DC1-DMG'), stock())

    def test_a_unit_is_converted(self):
        product = self._by_weight()
        self.applied(document('adjusted', [line(product, '2500', unit='g')]))
        self.assertEqual(2.5, total(product))
        self.applied(document('adjusted', [line(product, '-0.5')]))
        self.assertEqual(2, total(product))

    def test_a_unit_of_another_category_is_refused(self):
        self.refused('UNKNOWN_UNIT',
            document('adjusted', [line(sku(), 1, unit='kg')]))

    def test_a_quantity_that_the_unit_cannot_hold_is_refused(self):
        self.refused('QUANTITY', document('adjusted', [line(sku(), '0.5')]))
        self.refused('QUANTITY', document('adjusted',
                [line(self._by_weight(), '0.001', unit='g')]))

    def _by_weight(self):
        code = f'KG-{next(_numbers)}'
        ADMIN.call('product.template', 'create', [{
                    'name': code, 'type': 'goods', 'code': code,
                    'default_uom': id_of('product.uom', symbol='kg'),
                    'cost_price_method': 'fixed',
                    'products': [['create', [{}]]],
                    }])
        return code

    def test_a_lot_is_made_once_and_found_again(self):
        product, lot = sku(), f'LOT-{next(_numbers)}'
        self.applied(
            document('adjusted', [line(product, 3, lot=lot)]),
            document('adjusted', [line(product, 2, lot=lot)]))
        self.applied(document('adjusted', [line(product, -1, lot=lot)]))
        self.assertEqual(4, stock()[product, lot, 'DC1-STO'])
        self.assertEqual(1, len(CLIENT.search(
                    'stock.lot', [('number', '=', lot)], ['id'])))

    def test_many_adjustments_in_one_call(self):
        product = sku()
        with self.changes(product, 200):
            self.applied(*[document('adjusted', [line(product, 1)])
                    for _ in range(200)])


class Ledger(Case):

    def test_a_second_delivery_is_a_duplicate(self):
        product = sku()
        event = document('adjusted', [line(product, 1)])
        with self.changes(product, 1):
            text, = self.applied(event)
            self.assertEqual(
                [[event['key'], 'duplicate', text]], CLIENT.apply(event))
        self.assertEqual([[event['key'], text]], CLIENT.call(
                'docksync.event', 'lookup', [event['key'], 'nothing']))

    def test_a_key_twice_in_one_call_moves_once(self):
        product = sku()
        event = document('adjusted', [line(product, 1)])
        other = document('adjusted', [line(product, 1)])
        with self.changes(product, 2):
            answer = CLIENT.apply(event, other, event)
        self.assertEqual(
            ['applied', 'applied', 'duplicate'], [a[1] for a in answer])

    def test_a_key_of_another_kind_is_a_conflict(self):
        event = document('adjusted', [line(sku(), 1)])
        self.applied(event)
        with self.assertRaises(Fault) as caught:
            CLIENT.apply(dict(event, kind='counted'))
        self.assertEqual('CONFLICT', caught.exception.refusal['code'])

    def test_concurrent_calls_with_the_same_keys_move_once(self):
        product = sku()
        events = [document('adjusted', [line(product, 1)])
            for _ in range(20)]
        answers, faults = [], []

        def deliver():
            try:
                answers.append(CLIENT.apply(*events))
            except Exception as error:
                faults.append(error)
        with self.changes(product, 20):
            threads = [threading.Thread(target=deliver) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual([], faults)
        self.assertEqual(20, sum(
                a[1] == 'applied' for answer in answers for a in answer))
        self.assertEqual(6 * 20, sum(len(a) for a in answers))

    def test_concurrent_calls_for_one_shipment_ship_once(self):
        id_, reference, planned = waiting()
        product, quantity = next(iter(planned.items()))
        event = document('shipped',
            [line(p, q) for p, q in planned.items()], reference=reference)
        answers, faults = [], []

        def deliver():
            try:
                answers.extend(CLIENT.apply(event))
            except Exception as error:
                faults.append(error)
        with self.changes(product, -quantity):
            threads = [threading.Thread(target=deliver) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual([], faults)
        self.assertEqual(1, sum(a[1] == 'applied' for a in answers))

    def test_a_bad_document_takes_the_whole_call_back_and_is_named(self):
        good, bad = sku(), document('adjusted', [line('NOPE', 1)])
        with self.changes(good, 0):
            message = self.refused('UNKNOWN_PRODUCT',
                document('adjusted', [line(good, 1)]), bad,
                document('adjusted', [line(good, 1)]), by=1)
        self.assertIn('NOPE', message)

    def test_an_error_of_tryton_names_the_document_too(self):
        # A lot is required and missing: only Tryton itself knows that.
        product, good = sku(), sku()
        template = ADMIN.search('product.product',
            [('code', '=', product)], ['template'])[0]['template']
        ADMIN.call('product.template', 'write', [template],
            {'lot_required': ['lost_found']})
        bad = document('adjusted', [line(product, 1)])
        documents = [document('adjusted', [line(good, 1)])
            for _ in range(7)]
        documents.insert(4, bad)
        with self.changes(good, 0):
            self.refused('REFUSED', *documents, by=4)

    def test_a_killed_server_leaves_nothing_behind(self):
        global CLIENT, ADMIN
        product = sku()
        events = [document('adjusted', [line(product, -1)])
            for _ in range(400)]
        before = total(product)
        for delay in (0.3, 0.8):
            thread = threading.Thread(
                target=self._ignore, args=(CLIENT.apply, *events))
            thread.start()
            time.sleep(delay)
            os.kill(instance()['pid'], signal.SIGKILL)
            thread.join()
            subprocess.run(os.environ['TRYTON_UP'].split(), check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            CLIENT, ADMIN = connect(), connect('admin')
            seen = len(CLIENT.call('docksync.event', 'lookup',
                    [e['key'] for e in events]))
            self.assertEqual(seen, before - total(product))
            self.assertIn(seen, {0, 400})
        CLIENT.apply(*events)
        self.assertEqual({'duplicate'},
            {a[1] for a in CLIENT.apply(*events)})
        self.assertEqual(400, before - total(product))

    @staticmethod
    def _ignore(function, *args):
        try:
            function(*args)
        except Exception:
            # The server dies during the call; what it did is read afterwards.
            pass


class Access(Case):

    def test_a_user_outside_the_group_is_refused(self):
        outsider = connect('outsider')
        for method, args in (
                ('apply', [[document('adjusted', [line('SKU-0001', 1)])]]),
                ('lookup', [['x']]), ('stock', ['DC1'])):
            with self.assertRaises(Fault) as caught:
                outsider.call('docksync.event', method, *args)
            self.assertEqual(
                {'key': None, 'code': 'ACCESS', 'document': None, 'line': None},
                caught.exception.refusal)
        with self.assertRaises(Fault):
            outsider.search('docksync.event', [], ['key'])

    def test_the_group_alone_is_enough(self):
        _, reference, planned = waiting()
        alone = connect('alone')
        self.applied(
            document('adjusted', [line(sku(), 1)]),
            document('shipped', [line(p, q) for p, q in planned.items()],
                reference=reference), client=alone)
        self.assertTrue(stock(client=alone))
        self.assertTrue(alone.search('docksync.event', [], ['key'], 1))

    def test_the_ledger_cannot_be_changed_from_outside(self):
        self.applied(document('adjusted', [line(sku(), 1)]))
        row = CLIENT.search('docksync.event', [], ['id'], 1)[0]['id']
        for client in (CLIENT, ADMIN):
            for method, args in (
                    ('write', [[row], {'site': 'X'}]), ('delete', [[row]]),
                    ('create', [[{'key': 'x'}]]), ('copy', [[row]])):
                with self.assertRaises(Exception) as caught:
                    client.call('docksync.event', method, *args)
                self.assertIn('403', str(caught.exception))

    def test_the_version_is_told(self):
        self.assertEqual('1', CLIENT.call('docksync.event', 'version'))


class Refusals(Case):

    def test_unknown_master_data(self):
        product = sku()
        self.refused('UNKNOWN_WAREHOUSE',
            document('adjusted', [line(product, 1)], site='DC9'))
        self.refused('UNKNOWN_LOCATION',
            document('adjusted', [line(product, 1, location='NOPE')]))
        self.refused('UNKNOWN_LOCATION',
            document('adjusted', [line(product, 1, location='DC2-DMG')]))
        self.refused('UNKNOWN_LOCATION', document(
                'transferred', [line(product, 1, to_location='DC9')]))

    def test_quantities_that_say_nothing(self):
        product = sku()
        for text in ('x', '', 'NaN', 'Infinity'):
            self.refused('QUANTITY',
                document('adjusted', [line(product, text)]))
        self.refused('QUANTITY', document('moved', [line(product, -1)]))
        self.refused('QUANTITY', document('received', [line(product, 0)]))

    def test_malformed_documents(self):
        good = document('adjusted', [line(sku(), 1)])
        for change in (
                {'kind': 'eaten'}, {'date': 'soon'}, {'lines': []},
                {'lines': ['x']}, {'without_document': 'maybe'},
                {'site': None}):
            self.refused('MALFORMED', dict(good, **change))

    def test_a_date_far_ahead_needs_a_decision(self):
        ahead = (dt.date.today() + dt.timedelta(days=9)).isoformat()
        self.refused('NEEDS_DECISION',
            document('adjusted', [line(sku(), 1)], date=ahead))

    def test_a_closed_period(self):
        ADMIN.call('stock.period', 'create', [{
                    'date': {'__class__': 'date',
                        'year': 2025, 'month': 3, 'day': 31},
                    'company': ADMIN.context['company']}])
        period = ADMIN.search('stock.period', [], ['id'])[0]['id']
        ADMIN.call('stock.period', 'close', [period])
        try:
            self.refused('CLOSED_PERIOD',
                document('adjusted', [line(sku(), 1)], date='2025-03-31'))
            self.applied(
                document('adjusted', [line(sku(), 1)], date='2025-04-01'))
        finally:
            ADMIN.call('stock.period', 'draft', [period])

    def test_an_unknown_document(self):
        for kind in ('picked', 'packed', 'shipped', 'received', 'returned',
                'voided'):
            self.refused('UNKNOWN_DOCUMENT', document(
                    kind, [line(sku(), 1)], reference='WEB-0'))

    def test_two_documents_with_one_reference(self):
        a, reference, planned = waiting(site='DC2')
        b, _, _ = waiting(site='DC2')
        CLIENT.call('stock.shipment.out', 'write', [b],
            {'reference': reference})
        message = self.refused('AMBIGUOUS_DOCUMENT', document('shipped',
                [line(p, q) for p, q in planned.items()], 'DC2',
                reference=reference))
        self.assertIn(reference, message)

    def test_a_shipment_of_another_site(self):
        _, reference, planned = waiting(site='DC2')
        self.refused('CONFLICT', document('shipped',
                [line(p, q) for p, q in planned.items()], 'DC1',
                reference=reference))

    def test_a_line_that_is_not_in_the_shipment(self):
        _, reference, planned = waiting()
        other = next(s for s in _products if s not in planned)
        message = self.refused('UNMATCHED_LINE', document('shipped',
                [line(p, q) for p, q in planned.items()] + [line(other, 1)],
                reference=reference))
        self.assertIn(other, message)
        self.refused('UNMATCHED_LINE',
            document('picked', [line(other, 1)], reference=reference))

    def test_a_shipment_that_is_done(self):
        _, reference, planned = waiting()
        lines = [line(p, q) for p, q in planned.items()]
        self.applied(document('shipped', lines, reference=reference))
        self.refused(
            'STATE', document('shipped', lines, reference=reference))


class Shipments(Case):

    def test_a_shipment_takes_the_goods_and_the_date(self):
        id_, reference, planned = waiting(2)
        product, quantity = next(iter(planned.items()))
        date = dt.date.today() - dt.timedelta(days=1)
        with self.changes(product, -quantity):
            text, = self.applied(document('shipped',
                    [line(p, q) for p, q in planned.items()],
                    reference=reference, date=date.isoformat()))
        self.assertIn(reference, text)
        found = shipment(id_)
        self.assertEqual('done', found['state'])
        self.assertEqual(date.day, found['effective_date']['day'])
        self.assertEqual('sent', sale(reference)['shipment_state'])

    def test_a_shipment_is_found_by_its_number(self):
        id_, _, planned = waiting()
        self.applied(document('shipped',
                [line(p, q) for p, q in planned.items()],
                reference=shipment(id_)['number']))
        self.assertEqual('done', shipment(id_)['state'])

    def test_less_than_planned_leaves_a_backorder_that_its_sale_leads_to(self):
        id_, reference, planned = waiting()
        product, quantity = next(iter(planned.items()))
        self.applied(document('shipped',
                [line(p, 1 if p == product else q)
                    for p, q in planned.items()], reference=reference))
        left = [s for s in sale(reference)['shipments'] if s != id_]
        self.assertEqual(1, len(left))
        self.assertEqual('waiting', shipment(left[0])['state'])
        self.assertIsNone(shipment(left[0])['reference'])
        with self.changes(product, 1 - quantity):
            self.applied(document('shipped',
                    [line(product, quantity - 1)], reference=reference))
        self.assertEqual('done', shipment(left[0])['state'])
        self.assertEqual('sent', sale(reference)['shipment_state'])

    def test_a_shipment_and_its_backorder_in_one_call(self):
        id_, reference, planned = waiting()
        product, quantity = next(iter(planned.items()))
        with self.changes(product, -quantity):
            self.applied(
                document('shipped', [line(p, 1 if p == product else q)
                        for p, q in planned.items()], reference=reference),
                document('shipped', [line(product, quantity - 1)],
                    reference=reference))
        self.assertEqual('sent', sale(reference)['shipment_state'])

    def test_a_cancelled_remainder_leaves_no_backorder(self):
        id_, reference, planned = waiting(2)
        (cut, _), *rest = planned.items()
        self.applied(document('shipped',
                [line(cut, 1, short='cancel')]
                + [line(p, q) for p, q in rest], reference=reference))
        self.assertEqual([id_], sale(reference)['shipments'])
        self.assertEqual('sent', sale(reference)['shipment_state'])

    def test_one_line_cancelled_and_another_kept(self):
        id_, reference, planned = waiting(2)
        (cut, _), (kept, quantity), *rest = planned.items()
        self.applied(document('shipped',
                [line(cut, 0, short='cancel'),
                    line(kept, 1, short='backorder')]
                + [line(p, q) for p, q in rest], reference=reference))
        left, = [s for s in sale(reference)['shipments'] if s != id_]
        open_ = moves(CLIENT.call('stock.shipment.out', 'read', [left],
                ['outgoing_moves'])[0]['outgoing_moves'])
        self.assertEqual([(kept, quantity - 1)],
            [(m['product.']['code'], m['quantity']) for m in open_])

    def test_more_than_planned_is_shipped_as_it_is(self):
        id_, reference, planned = waiting()
        product, quantity = next(iter(planned.items()))
        with self.changes(product, -quantity - 5):
            self.applied(document('shipped',
                    [line(p, q + 5 if p == product else q)
                        for p, q in planned.items()], reference=reference))
        self.assertEqual([id_], sale(reference)['shipments'])
        self.assertEqual('sent', sale(reference)['shipment_state'])

    def test_lots_divide_a_line(self):
        id_, reference, planned = waiting(least=3)
        product, quantity = next(iter(planned.items()))
        a, b = f'A-{next(_numbers)}', f'B-{next(_numbers)}'
        self.applied(
            document('adjusted', [line(product, 9, lot=a),
                    line(product, 9, lot=b)]))
        self.applied(document('shipped',
                [line(product, 1, lot=a), line(product, quantity - 1, lot=b)]
                + [line(p, q) for p, q in planned.items() if p != product],
                reference=reference))
        self.assertEqual(8, stock()[product, a, 'DC1-STO'])
        self.assertEqual(10 - quantity, stock()[product, b, 'DC1-STO'])
        self.assertEqual([id_], sale(reference)['shipments'])

    def test_an_assigned_shipment_is_shipped_short(self):
        id_, reference, planned = waiting()
        product, quantity = next(iter(planned.items()))
        CLIENT.call('stock.shipment.out', 'assign_try', [id_])
        self.assertEqual('assigned', shipment(id_)['state'])
        with self.changes(product, -1):
            self.applied(document('shipped',
                    [line(p, 1 if p == product else q)
                        for p, q in planned.items()], reference=reference))
        self.assertEqual('done', shipment(id_)['state'])

    def test_many_shipments_in_one_call(self):
        found = [waiting(site='DC3') for _ in range(8)]
        self.applied(*[document('shipped',
                    [line(p, q) for p, q in planned.items()], 'DC3',
                    reference=reference, number='TRUCK-1')
                for _, reference, planned in found])
        self.assertEqual({'done'}, {shipment(f[0])['state'] for f in found})

    def test_without_a_document_plain_moves_are_made(self):
        product = sku()
        with self.changes(product, -2):
            self.applied(document('shipped', [line(product, 2)],
                    reference='OTHER-1', without_document='move'))
        with self.changes(product, 3):
            self.applied(
                document('received', [line(product, 2)],
                    reference='OTHER-2', without_document='move'),
                document('returned', [line(product, 1)],
                    reference='OTHER-1', without_document='move'))


class Picks(Case):

    def test_picks_add_up_until_the_shipment_is_picked(self):
        id_, reference, planned = waiting(2)
        (first, quantity), *rest = planned.items()
        self.applied(document(
                'picked', [line(first, 1)], reference=reference))
        self.assertEqual('waiting', shipment(id_)['state'])
        text, = self.applied(document('picked',
                [line(first, quantity - 1)]
                + [line(p, q) for p, q in rest], reference=reference))
        self.assertEqual('picked', shipment(id_)['state'])
        self.assertIn(reference, text)
        self.applied(document('shipped',
                [line(p, q) for p, q in planned.items()],
                reference=reference))
        self.assertEqual('done', shipment(id_)['state'])

    def test_a_short_pick_ends_its_line(self):
        id_, reference, planned = waiting()
        (first, quantity), *rest = planned.items()
        self.applied(document('picked',
                [line(first, 1, short='backorder')]
                + [line(p, q) for p, q in rest], reference=reference))
        self.assertEqual('picked', shipment(id_)['state'])

    def test_a_pick_that_comes_late_moves_nothing_back(self):
        id_, reference, planned = waiting()
        lines = [line(p, q) for p, q in planned.items()]
        self.applied(document('shipped', lines, reference=reference))
        self.applied(document('picked', lines, reference=reference))
        self.applied(document('packed', lines, reference=reference,
                number='LATE-1'))
        self.assertEqual('done', shipment(id_)['state'])

    def test_less_shipped_than_picked_goes_back_to_storage(self):
        id_, reference, planned = waiting()
        (first, quantity), *rest = planned.items()
        lines = [line(p, q) for p, q in planned.items()]
        self.applied(document('picked', lines, reference=reference))
        output = sum(q for k, q in stock().items()
            if k[0] == first and k[2] == 'DC1-OUT')
        with self.changes(first, -1):
            self.applied(document('shipped',
                    [line(first, 1)] + [line(p, q) for p, q in rest],
                    reference=reference))
        self.assertEqual(output - quantity, sum(
                q for k, q in stock().items()
                if k[0] == first and k[2] == 'DC1-OUT'))

    def test_cartons_become_packages(self):
        id_, reference, planned = waiting(2)
        (first, quantity), *rest = planned.items()
        lines = [line(p, q) for p, q in planned.items()]
        self.applied(document('picked', lines, reference=reference))
        self.applied(document('packed', [line(first, 1)],
                reference=reference, number='CTN-1'))
        self.refused('QUANTITY', document('packed',
                [line(first, quantity + 1)], reference=reference,
                number='CTN-X'))
        self.applied(document('packed',
                [line(first, quantity - 1)] + [line(p, q) for p, q in rest],
                reference=reference, number='CTN-2'))
        self.applied(document('shipped', lines, reference=reference))
        self.assertEqual('done', shipment(id_)['state'])
        self.assertEqual({'CTN-1': quantity and 1, 'CTN-2': quantity - 1
                + sum(q for _, q in rest)}, self._packages(id_))

    def test_cartons_told_before_the_pick_and_with_the_shipment(self):
        id_, reference, planned = waiting(2)
        lines = [line(p, q) for p, q in planned.items()]
        first = lines[0]
        self.applied(document(
                'packed', [first], reference=reference, number='CTN-3'))
        self.assertEqual('waiting', shipment(id_)['state'])
        self.applied(document('shipped', lines, reference=reference))
        packages = self._packages(id_)
        self.assertEqual(float(first['quantity']), packages['CTN-3'])
        self.assertEqual(2, len(packages))
        id_, reference, planned = waiting()
        self.applied(document('shipped',
                [line(p, q, container='CTN-4') for p, q in planned.items()],
                reference=reference))
        self.assertEqual(
            {'CTN-4': sum(planned.values())}, self._packages(id_))

    def _packages(self, id_):
        return {p['number']: sum(m['quantity'] for m in moves(p['moves']))
            for p in CLIENT.search('stock.package',
                [('shipment', '=', f'stock.shipment.out,{id_}')],
                ['number', 'moves'])}


class Voids(Case):

    def test_a_shipment_is_taken_back_once_and_can_go_again(self):
        id_, reference, planned = waiting()
        product, quantity = next(iter(planned.items()))
        lines = [line(p, q) for p, q in planned.items()]
        self.applied(document('shipped', lines, reference=reference))
        with self.changes(product, quantity):
            text, = self.applied(
                document('voided', lines, reference=reference))
        self.assertIn('stock.shipment.out.return', text)
        self.assertEqual('waiting', sale(reference)['shipment_state'])
        self.refused('STATE',
            document('voided', lines, reference=reference))
        with self.changes(product, -quantity):
            self.applied(document('shipped', lines, reference=reference))
        self.assertEqual('sent', sale(reference)['shipment_state'])
        self.applied(document('voided', [], reference=reference))
        self.assertEqual('waiting', sale(reference)['shipment_state'])

    def test_a_part_that_is_taken_back_goes_again(self):
        id_, reference, planned = waiting(least=3)
        product, quantity = next(iter(planned.items()))
        lines = [line(p, q) for p, q in planned.items()]
        self.applied(document('shipped', lines, reference=reference))
        with self.changes(product, 2):
            self.applied(document(
                    'voided', [line(product, 2)], reference=reference))
        self.assertEqual(
            'partially shipped', sale(reference)['shipment_state'])
        with self.changes(product, -2):
            self.applied(document(
                    'shipped', [line(product, 2)], reference=reference))
        self.assertEqual('sent', sale(reference)['shipment_state'])

    def test_a_shipment_without_a_document_is_taken_back(self):
        product = sku()
        with self.changes(product, 0):
            self.applied(
                document('shipped', [line(product, 4)], number='W-1',
                    without_document='move'),
                document('voided', [line(product, 4)], number='W-1',
                    without_document='move'))
        self.refused('STATE',
            document('voided', [line(product, 4)], number='W-1'))

    def test_more_than_went_cannot_be_taken_back(self):
        id_, reference, planned = waiting()
        lines = [line(p, q) for p, q in planned.items()]
        self.applied(document('shipped', lines, reference=reference))
        self.refused('QUANTITY', document('voided',
                [line(p, q + 1) for p, q in planned.items()],
                reference=reference))

    def test_a_shipment_that_is_still_here_cannot_be_taken_back(self):
        id_, reference, planned = waiting()
        self.refused('STATE', document('voided', [], reference=reference))


class Receipts(Case):

    def test_a_partial_receipt_leaves_the_rest_open(self):
        id_, reference, planned = purchase()
        (product, quantity), *rest = planned.items()
        with self.changes(product, 5):
            text, = self.applied(document('received', [line(product, 5)],
                    reference=reference, number='RCV-1'))
        self.assertIn('RCV-1', text)
        self.assertEqual((quantity - 5, 'partially shipped'),
            self._open(id_, product))
        with self.changes(product, quantity - 5):
            self.applied(document('received', [line(product, quantity - 5)]
                    + [line(p, q) for p, q in rest], reference=reference))
        self.assertEqual((0, 'received'), self._open(id_, product))
        self.refused('STATE', document(
                'received', [line(product, 1)], reference=reference))

    def test_damaged_goods_go_to_their_place(self):
        _, reference, planned = purchase()
        product, quantity = next(iter(planned.items()))
        with self.changes(product, 7):
            self.applied(document('received', [
                        line(product, 4),
                        line(product, 3, to_location='DC1-DMG')],
                    reference=reference))
        self.assertEqual(3, stock()[product, None, 'DC1-DMG'])

    def test_more_than_ordered_is_received_as_it_is(self):
        id_, reference, planned = purchase('DC2')
        product, quantity = next(iter(planned.items()))
        with self.changes(product, quantity + 2, 'DC2'):
            self.applied(document('received',
                    [line(p, q + 2) for p, q in planned.items()], 'DC2',
                    reference=reference))
        self.assertEqual((0, 'received'), self._open(id_, product))

    def test_a_receipt_with_lots(self):
        _, reference, planned = purchase('DC3')
        product, quantity = next(iter(planned.items()))
        a, b = f'R-{next(_numbers)}', f'R-{next(_numbers)}'
        self.applied(document('received', [
                    line(product, 2, lot=a), line(product, 1, lot=b)],
                'DC3', reference=reference))
        found = stock('DC3')
        self.assertEqual(2, found[product, a, 'DC3-STO'])
        self.assertEqual(1, found[product, b, 'DC3-STO'])

    def test_a_receipt_at_another_site_or_of_another_product(self):
        _, reference, planned = purchase('DC3')
        product = next(iter(planned))
        self.refused('CONFLICT', document(
                'received', [line(product, 1)], reference=reference))
        other = next(s for s in _products if s not in planned)
        self.refused('UNMATCHED_LINE', document(
                'received', [line(other, 1)], 'DC3', reference=reference))

    def _open(self, id_, product):
        found = CLIENT.call('purchase.purchase', 'read', [id_],
            ['moves', 'shipment_state'])[0]
        return (sum(m['quantity'] for m in moves(found['moves'])
                if m['state'] == 'draft'
                and m['product.']['code'] == product),
            found['shipment_state'])

    def test_a_customer_brings_goods_back(self):
        _, reference, planned = waiting()
        product, quantity = next(iter(planned.items()))
        self.applied(document('shipped',
                [line(p, q) for p, q in planned.items()],
                reference=reference))
        with self.changes(product, 1):
            text, = self.applied(document('returned',
                    [line(product, 1, to_location='DC1-DMG')],
                    reference=reference))
        self.assertIn('stock.shipment.out.return', text)
        self.assertEqual(1, stock()[product, None, 'DC1-DMG'])
        self.refused('QUANTITY', document('returned',
                [line(product, quantity)], reference=reference))

    def test_a_transfer_travels_from_site_to_site(self):
        product = sku()
        with self.changes(product, -6), self.changes(product, 0, 'DC2'):
            self.applied(document('transferred',
                    [line(product, 6, to_location='DC2')],
                    reference='TO-1'))
        self.refused('QUANTITY', document('received', [line(product, 7)],
                'DC2', reference='TO-1'))
        with self.changes(product, 6, 'DC2'):
            self.applied(
                document('received', [line(product, 4)], 'DC2',
                    reference='TO-1'),
                document('received', [line(product, 2)], 'DC2',
                    reference='TO-1'))
        self.refused('UNKNOWN_DOCUMENT', document('received',
                [line(product, 1)], 'DC2', reference='TO-1'))

    def test_a_transfer_to_nobody_knows_where_is_missing(self):
        product = sku()
        with self.changes(product, -1):
            self.applied(document('transferred', [line(product, 1)]))


if __name__ == '__main__':
    unittest.main()
