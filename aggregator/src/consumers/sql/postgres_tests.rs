//! Staging tables in a real PostgreSQL: the suite of every connector, restarts, rights, and data that a column cannot hold.

use std::{collections::BTreeSet, sync::Arc};

use tokio::runtime::Runtime;

use super::{
    postgres::{Access, PostgresBalances, PostgresConsumer},
    server::Server,
};
use crate::{
    consumers::{
        Consumer as _, FaultClass, LookUp, Outcome,
        conformance::{self, Bench, adjustment, receipt, shipment},
        double::Faults,
    },
    deliver::{
        board::Board,
        deliverer::{Deliverer, Step},
    },
    ledger::{Reads as _, Store, conformance::Stream, sqlite::SqliteStore},
    reconcile::Balances as _,
};

struct Postgres {
    server: Server,
    runtime: Runtime,
}

impl Postgres {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { server: Server::start(), runtime }
    }

    fn access(&self, user: &str) -> Access {
        Access { server: self.server.address(user), password: None, tls: None, schema: "docksync".to_owned() }
    }

    fn consumer(&self, user: &str) -> PostgresConsumer {
        PostgresConsumer::new(self.access(user), self.runtime.handle().clone())
    }

    fn count(&self, condition: &str) -> usize {
        if self.server.ask("SELECT to_regclass('docksync.docksync_event') IS NOT NULL") == "f" {
            return 0;
        }
        self.server.ask(&format!("SELECT count(*) FROM docksync.docksync_event WHERE {condition}")).parse().unwrap()
    }
}

impl Bench for Postgres {
    type Consumer = PostgresConsumer;
    const IS_ERP: bool = false;

    fn connect(&self, to_nobody: bool) -> Option<PostgresConsumer> {
        if !to_nobody {
            return Some(self.consumer("postgres"));
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = format!("postgresql://postgres@127.0.0.1:{}/postgres", free.port()).parse().unwrap();
        let access = Access { server, ..self.access("postgres") };
        Some(PostgresConsumer::new(access, self.runtime.handle().clone()))
    }

    fn faults(&self) -> Option<&Faults> {
        None
    }

    fn effects(&self, key: &str) -> usize {
        self.count(&format!("event_id = '{key}'"))
    }

    fn total(&self) -> usize {
        self.count("TRUE")
    }

    fn double(&self, _: &str, _: &str) -> bool {
        // Its key is a primary key.
        false
    }
}

#[test]
fn a_staging_schema_passes_the_suite_of_all_connectors() {
    conformance::all(Postgres::new);
}

#[test]
fn it_is_restarted_under_deliveries_and_each_effect_is_there_once() {
    let postgres = Postgres::new();
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
    let mut stream = Stream::new("DC01", 1);
    for part in 0..40_u32 {
        let events: Vec<_> = (0..50).map(|n| adjustment(part * 50 + n, 2).event).collect();
        store.commit(&[stream.batch(&events)], &[]).unwrap();
    }
    let mut deliverer = Deliverer::open("erp", store, postgres.consumer("postgres"), Board::default(), 1).unwrap();

    let (mut now_ms, mut steps, mut paused) = (0, 0, 0);
    loop {
        steps += 1;
        match steps {
            2 => postgres.server.down(),
            5 => postgres.server.up(),
            // What the connection was opened for is gone without a word.
            8 => drop(postgres.server.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'docksync-aggregator'",
            )),
            _ => {}
        }
        match deliverer.step(now_ms).unwrap() {
            Step::Worked => now_ms += 1,
            Step::Paused { until_ms } => (now_ms, paused) = (until_ms, paused + 1),
            Step::Idle { .. } if steps > 10 => break,
            Step::Idle { .. } => {}
        }
        assert!(steps < 1_000, "the deliveries never came to rest");
    }
    drop(deliverer);

    assert!(paused > 0, "the cut was met");
    assert_eq!(postgres.total(), 2_000);
    let sum = postgres.server.ask("SELECT sum(quantity_micros) FROM docksync.docksync_stock");
    assert_eq!(sum, "4000000000");
    let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
    assert!(Store::reads(&store).parked(1).unwrap().is_empty());
    let site = stream.site().clone();
    let mut balances = PostgresBalances::new(postgres.access("postgres"), postgres.runtime.handle().clone());
    let told: i64 = balances.read(&site).unwrap().iter().map(|balance| balance.micros).sum();
    assert_eq!(told, 4_000_000_000);
}

#[test]
fn two_programs_that_meet_make_the_tables_and_each_effect_once() {
    let postgres = Postgres::new();
    let batch: Vec<_> = (1..=50).flat_map(|n| [adjustment(n, 3), receipt(n)]).collect();

    let outcomes: Vec<Vec<Outcome>> = std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| postgres.consumer("postgres").apply(&batch)));
        both.map(|thread| thread.join().unwrap()).into()
    });

    let applied = outcomes.iter().flatten().filter(|o| matches!(o, Outcome::Applied(_))).count();
    let already = outcomes.iter().flatten().filter(|o| matches!(o, Outcome::AlreadyApplied(_))).count();
    assert_eq!((applied, already), (100, 100), "{:?}", outcomes.iter().flatten().find(|o| o.is_fault()));
    let keys: BTreeSet<String> =
        postgres.server.ask("SELECT event_id FROM docksync.docksync_event").lines().map(str::to_owned).collect();
    assert_eq!(keys.len(), 100);
    assert_eq!(postgres.server.ask("SELECT sum(quantity_micros) FROM docksync.docksync_stock"), "650000000");
}

#[test]
fn a_user_without_rights_is_an_incident_and_no_event_s_fault() {
    let postgres = Postgres::new();
    postgres.server.ask("CREATE ROLE stranger LOGIN");
    let mut stranger = postgres.consumer("stranger");

    let refused = stranger.apply(&[shipment(1)]);
    let unknown = postgres.consumer("nobody-of-this-name").apply(&[shipment(1)]);
    assert_eq!(postgres.consumer("postgres").apply(&[shipment(1)]), [Outcome::Applied(String::new())]);
    let reads = "GRANT USAGE ON SCHEMA docksync TO stranger; GRANT SELECT ON ALL TABLES IN SCHEMA docksync TO stranger";
    postgres.server.ask(reads);
    let read_only = stranger.apply(&[shipment(2)]);
    let asked = stranger.look_up(&shipment(1));

    for outcomes in [refused, unknown, read_only] {
        assert!(matches!(&outcomes[0], Outcome::Retry { class: FaultClass::Auth, .. }), "{outcomes:?}");
    }
    assert_eq!(asked, LookUp::Found(String::new()));
}

#[test]
fn what_a_column_cannot_hold_is_refused_alone() {
    let postgres = Postgres::new();
    let mut bad = shipment(2);
    bad.event.correlation_id = "SO\0-2".to_owned();
    bad.event.references[0].value = "SO\0-2".to_owned();

    let outcomes = postgres.consumer("postgres").apply(&[shipment(1), bad, shipment(3)]);

    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Applied(String::new()), &Outcome::Applied(String::new())));
    assert!(matches!(&outcomes[1], Outcome::Rejected { code, .. } if code == "22021"), "{outcomes:?}");
    assert_eq!(postgres.total(), 2);
}
