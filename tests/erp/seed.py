#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs in Tryton's process and uses its models, so it is under Tryton's licence:
# the GNU General Public License, version 3 or (at your option) any later one.
# The text is in packaging/erp/tryton/LICENSE.
"""Seed an initialised Tryton database with a small distribution company.

    seed.py -c trytond.conf -d erp

What tests can rely on, for the sites DC1 DC2 DC3:

* a warehouse per site with the site's code; locations DC1-STO (storage),
  DC1-IN, DC1-OUT, DC1-LF (lost and found) and DC1-DMG (damaged goods, below
  the storage location)
* products SKU-0001, SKU-0002...: unit "u", 1000 pieces at each storage
* customers CUST-01..CUST-20, suppliers SUPP-1..SUPP-3
* 120 confirmed sales WEB-10001..., each with one waiting shipment of the same
  reference and one to four lines of 2 to 12; the sites take turns
* confirmed purchases PO-20001...PO-20012, the sites take turns
* the user "docksync", who is no administrator; in the group Docksync when
  that module is active. Then "alone" is in that group only. "outsider" is in
  no group at all, and "admin" may set up stock and products.

Sites, products and sales are taken from TRYTON_SEED_SITES (codes with blanks
between), TRYTON_SEED_PRODUCTS and TRYTON_SEED_SHIPMENTS.

Everything is drawn from one fixed seed and dated 2025-01-02, so that a
database kept as a template never goes stale. A second run only puts the user
into the groups of modules that were activated since.
"""
import argparse
import datetime as dt
import json
import os
import random
import sys
from decimal import Decimal

p = argparse.ArgumentParser()
p.add_argument('-c', '--config', required=True)
p.add_argument('-d', '--database', required=True)
p.add_argument('--products', type=int,
    default=int(os.environ.get('TRYTON_SEED_PRODUCTS', 200)))
p.add_argument('--shipments', type=int,
    default=int(os.environ.get('TRYTON_SEED_SHIPMENTS', 120)))
p.add_argument('--sites',
    default=os.environ.get('TRYTON_SEED_SITES', 'DC1 DC2 DC3'))
p.add_argument('--purchases', type=int, default=12)
p.add_argument('--opening', type=int, default=1000)
p.add_argument('--date', default='2025-01-02')
p.add_argument('--user', default='docksync')
p.add_argument('--password', default='docksync-erp-pw')
p.add_argument('--api-key', default='c0ffee' * 20)
a = p.parse_args()

from trytond import config  # noqa: E402
config.update_etc(a.config)
from trytond.pool import Pool  # noqa: E402
from trytond.transaction import Transaction  # noqa: E402

pool = Pool(a.database)
with Transaction().start(a.database, 0, readonly=True):
    pool.init()

COMPANY = 'Docksync Test Company'
SITES = a.sites.split()
rnd = random.Random(20260101)


def modules():
    Module = pool.get('ir.module')
    return {m.name for m in Module.search([('state', '=', 'activated')])}


def setup(today):
    get = pool.get
    Company, Party, Currency = (
        get('company.company'), get('party.party'), get('currency.currency'))
    if Company.search([('party.name', '=', COMPANY)]):
        return False
    usd = Currency(name='US Dollar', symbol='$', code='USD',
        rounding=Decimal('0.01'), digits=2)
    usd.rates = [get('currency.currency.rate')(
            date=dt.date(2000, 1, 1), rate=Decimal('1'))]
    usd.save()
    party = Party(name=COMPANY)
    party.save()
    company = Company(party=party, currency=usd, timezone='UTC')
    company.save()

    # users -----------------------------------------------------------------
    User, Group = get('res.user'), get('res.group')
    admin, = User.search([('login', '=', 'admin')])
    admin.companies = [company]
    admin.company = company
    Data = get('ir.model.data')
    admin.groups = list(admin.groups) + [
        Group(Data.get_id('stock', 'group_stock_admin')),
        Group(Data.get_id('product', 'group_product_admin'))]
    admin.save()
    groups = [Group(Data.get_id(m, x)) for m, x in [
            ('stock', 'group_stock'),
            ('stock', 'group_stock_force_assignment'),
            ('sale', 'group_sale'),
            ('purchase', 'group_purchase'),
            ] if m in modules()]
    user = User(login=a.user, name='Docksync aggregator',
        password=a.password, companies=[company], company=company,
        groups=groups)
    user.save()
    User(login='outsider', name='Outsider', password=a.password,
        companies=[company], company=company).save()
    App = get('res.user.application')
    App(key=a.api_key, user=user, application='rest',
        state='validated').save()
    return company, usd


def seed(company, usd, today):
    get = pool.get
    Location = get('stock.location')
    Template, Product = get('product.template'), get('product.product')
    Party, Address = get('party.party'), get('party.address')
    Uom = get('product.uom')
    unit, = Uom.search([('symbol', '=', 'u')])

    # warehouses ------------------------------------------------------------
    default, = Location.search([('type', '=', 'warehouse')])
    whs = []
    for i, code in enumerate(SITES):
        if i == 0:
            wh = default
            wh.name, wh.code = 'Distribution Center 1', code
            for f, s in (('input', 'IN'), ('output', 'OUT'),
                    ('storage', 'STO')):
                loc = getattr(wh, f + '_location')
                loc.name, loc.code = f'{code} {f}', f'{code}-{s}'
                loc.save()
        else:
            locs = {f: Location(name=f'{code} {f}', code=f'{code}-{s}',
                    type='storage')
                for f, s in (('input', 'IN'), ('output', 'OUT'),
                    ('storage', 'STO'))}
            Location.save(list(locs.values()))
            wh = Location(name=f'Distribution Center {i + 1}', code=code,
                type='warehouse', **{f'{f}_location': l
                    for f, l in locs.items()})
        lost = Location(name=f'{code} lost and found', code=f'{code}-LF',
            type='lost_found')
        lost.save()
        Location(name=f'{code} scrap', code=f'{code}-SCRAP',
            type='lost_found').save()
        wh.lost_found_location = lost
        wh.save()
        Location(name=f'{code} damaged', code=f'{code}-DMG', type='storage',
            parent=wh.storage_location).save()
        whs.append(wh)

    # products --------------------------------------------------------------
    templates = []
    for n in range(1, a.products + 1):
        price = Decimal(rnd.randrange(200, 20000)) / 100
        t = Template(name=f'Product {n:04d}', default_uom=unit, type='goods',
            list_price=price, cost_price_method='fixed',
            products=[Product(suffix_code=f'SKU-{n:04d}',
                    cost_price=(price / 2).quantize(Decimal('0.01')))])
        if hasattr(Template, 'salable'):
            t.salable, t.sale_uom = True, unit
        if hasattr(Template, 'purchasable'):
            t.purchasable, t.purchase_uom = True, unit
        templates.append(t)
    for i in range(0, len(templates), 25):   # SQLite parser depth limit
        Template.save(templates[i:i + 25])
    products = [t.products[0] for t in templates]

    # opening stock, one inventory per site -----------------------------------
    Inventory, Line = get('stock.inventory'), get('stock.inventory.line')
    invs = [Inventory(number=f'OPENING-{w.code}', location=w.storage_location,
            date=today, company=company, empty_quantity='keep',
            lines=[Line(product=x, quantity=float(a.opening))
                for x in products])
        for w in whs]
    Inventory.save(invs)
    Inventory.confirm(invs)

    if 'stock_package' in modules():
        get('stock.package.type')(name='Carton').save()

    # parties -----------------------------------------------------------------
    customers = [Party(name=f'Customer {n:02d}', code=f'CUST-{n:02d}',
            addresses=[Address(street=f'{n} Main Street', city='Springfield')])
        for n in range(1, 21)]
    suppliers = [Party(name=f'Supplier {n}', code=f'SUPP-{n}',
            addresses=[Address(street=f'{n} Dock Road', city='Shelbyville')])
        for n in range(1, 4)]
    Party.save(customers + suppliers)

    # open orders ---------------------------------------------------------------
    if 'sale' in modules():
        Sale, SLine = get('sale.sale'), get('sale.line')
        sales = []
        for n in range(a.shipments):
            wh = whs[n % len(whs)]
            cust = customers[n % len(customers)]
            lines = []
            for x in rnd.sample(products, rnd.randint(1, 4)):
                lines.append(SLine(type='line', product=x, unit=unit,
                        quantity=float(rnd.randint(2, 12)),
                        unit_price=x.template.list_price))
            sales.append(Sale(reference=f'WEB-{10001 + n}', party=cust,
                    company=company, currency=usd, warehouse=wh,
                    sale_date=today, invoice_address=cust.addresses[0],
                    shipment_address=cust.addresses[0],
                    invoice_method='manual', shipment_method='order',
                    lines=lines))
        Sale.save(sales)
        Sale.quote(sales)
        Sale.confirm(sales)
        Sale.process(sales)
        Shipment = get('stock.shipment.out')
        ships = []
        for s in sales:
            for sh in s.shipments:
                sh.reference = s.reference
                ships.append(sh)
        Shipment.save(ships)
        # a process task may have left them in draft
        Shipment.wait([s for s in ships if s.state == 'draft'])

    # open purchase orders: their moves are what a receipt event is applied to
    if 'purchase' in modules():
        Purchase, PLine = get('purchase.purchase'), get('purchase.line')
        pos = [Purchase(reference=f'PO-{20001 + n}', party=sup,
                company=company, currency=usd, warehouse=whs[n % len(whs)],
                purchase_date=today, invoice_address=sup.addresses[0],
                invoice_method='manual',
                lines=[PLine(type='line', product=x, unit=unit,
                        quantity=float(rnd.randint(20, 200)),
                        unit_price=x.cost_price)
                    for x in rnd.sample(products, rnd.randint(1, 3))])
            for n, sup in ((n, suppliers[n % len(suppliers)])
                for n in range(a.purchases))]
        Purchase.save(pos)
        Purchase.quote(pos)
        Purchase.confirm(pos)
        Purchase.process(pos)


def grant():
    "Put the user into the group of a module that was activated later."
    if 'docksync' in modules():
        User, Group = pool.get('res.user'), pool.get('res.group')
        group = Group(pool.get('ir.model.data').get_id(
                'docksync', 'group_docksync'))
        user, = User.search([('login', '=', a.user)])
        if group not in user.groups:
            user.groups = list(user.groups) + [group]
            user.save()
            User(login='alone', name='Docksync alone', password=a.password,
                companies=user.companies, company=user.company,
                groups=[group]).save()


today = dt.date.fromisoformat(a.date)   # fixed, so a template keeps
with Transaction().start(a.database, 0, readonly=True):
    ADMIN = pool.get('res.user').search([('login', '=', 'admin')])[0].id
with Transaction().start(a.database, ADMIN, context={}) as tr:
    done = setup(today)
    if done:
        company, usd = done
        with tr.set_context(company=company.id, companies=[company.id],
                _skip_warnings=True):
            seed(company, usd, today)
    grant()
    tr.commit()
with Transaction().start(a.database, ADMIN, readonly=True) as tr:
    n = {m: pool.get(m).search([], count=True) for m in (
            'stock.location', 'product.product', 'stock.move',
            'stock.shipment.out', 'party.party')}
    print(json.dumps(n))
sys.exit(0)
