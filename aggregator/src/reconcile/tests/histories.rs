//! Any history of a site closes to zero.

use super::*;

/// What may happen between two looks at the books.
#[derive(Debug, Clone)]
enum Happens {
    Move { item: u8, pieces: i8 },
    Apply,
    Park,
    Release,
    Unknown { has_it: bool },
    State,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..4_u8, -9..9_i8).prop_map(|(item, pieces)| Happens::Move { item, pieces }),
        3 => Just(Happens::Apply),
        1 => Just(Happens::Park),
        1 => Just(Happens::Release),
        1 => any::<bool>().prop_map(|has_it| Happens::Unknown { has_it }),
        1 => Just(Happens::State),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Captured is applied, parked and on the way: whatever happened, nothing is left unexplained.
    #[test]
    fn for_any_history_the_equation_closes_to_zero(history in prop::collection::vec(happens(), 1..40)) {
        let mut rig = Rig::new();
        let skus = ["A", "B", "C", "D"];
        let mut wms: BTreeMap<&str, i64> = skus.iter().map(|sku| (*sku, 20)).collect();
        let opening: Vec<(&str, i64)> = wms.iter().map(|(sku, n)| (*sku, *n)).collect();
        rig.state("S0", &opening, 0);
        skus.iter().for_each(|sku| rig.books.add(sku, "", "", 20));
        let (mut queue, mut parked) = (std::collections::VecDeque::new(), Vec::new());
        for (n, what) in (1..).zip(history) {
            match what {
                Happens::Move { item, pieces } => {
                    let sku = skus[usize::from(item)];
                    *wms.get_mut(sku).unwrap() += i64::from(pieces);
                    let loc = rig.store(&[rig.adjust(&format!("{n}"), sku, pieces.into(), n)]);
                    queue.push_back((loc, sku, i64::from(pieces)));
                }
                Happens::Apply => if let Some((loc, sku, pieces)) = queue.pop_front() {
                    rig.books.add(sku, "", "", pieces);
                    rig.settle(loc);
                },
                Happens::Park => if let Some((loc, sku, pieces)) = queue.pop_front() {
                    rig.settle(loc);
                    rig.deliver(loc, Stage::Parked, "REFUSED");
                    parked.push((loc, sku, pieces));
                },
                Happens::Release => if let Some((loc, sku, pieces)) = parked.pop() {
                    rig.books.add(sku, "", "", pieces);
                    rig.ledger.change(&[Change::Forget { consumer: "erp".to_owned(), site: rig.site.clone(), loc }]).unwrap();
                },
                Happens::Unknown { has_it } => if let Some((loc, sku, pieces)) = queue.pop_front() {
                    rig.settle(loc);
                    rig.deliver(loc, Stage::Unknown, "");
                    if has_it { rig.books.add(sku, "", "", pieces); }
                },
                Happens::State => {
                    let stock: Vec<(&str, i64)> = wms.iter().map(|(sku, n)| (*sku, *n)).collect();
                    let loc = rig.state(&format!("S{n}"), &stock, n);
                    queue.push_back((loc, "A", 0));
                }
            }
        }
        let end = rig.adjust("end", "A", 0, 1_000);
        rig.store(&[end]);
        let report = rig.run();
        prop_assert_eq!(found(&report), vec![]);
        for side in &report.sides {
            prop_assert_eq!(side.compared, side.exact + side.explained, "{:?}", side);
        }
    }
}
