//! A real Tryton, with our module or without it, brought up by `tests/erp/tryton-up`.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use docksync_aggregator::consumers::erp::{
    mapping::Mapping,
    tryton::{
        Tryton as Connector, UseModule, Ways,
        rpc::{Access, Rpc},
    },
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Where the script lies.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("erp/tryton-up")
}

/// What the ERP is seeded with.
#[derive(Debug, Clone, Copy)]
pub struct Seed<'s> {
    /// Codes of its warehouses.
    pub sites: &'s [&'s str],
    /// Products, `SKU-0001` and on.
    pub products: u32,
    /// Sales with a waiting shipment each.
    pub shipments: u32,
}

/// What kind of Tryton it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kind {
    /// Whether it is without our module.
    pub is_plain: bool,
    /// Whether its database is PostgreSQL, not SQLite.
    pub is_postgresql: bool,
}

/// A running Tryton.
#[derive(Debug)]
pub struct Tryton {
    dir: PathBuf,
    port: u16,
    pg_port: u16,
    kind: Kind,
    seed: Vec<(&'static str, String)>,
    access: Access,
    runtime: tokio::runtime::Runtime,
}

/// An order that waits in the ERP to be shipped.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its reference.
    pub reference: String,
    /// Warehouse.
    pub site: String,
    /// Products with their quantities.
    pub lines: Vec<(String, Decimal)>,
}

impl Tryton {
    /// Brings one up in a folder, with a database of its own.
    ///
    /// # Errors
    /// Where the script fails; with its words.
    pub fn start(dir: &Path, seed: Seed<'_>) -> anyhow::Result<Self> {
        Self::start_as(Kind::default(), dir, seed)
    }

    /// As [`Self::start`], of another kind.
    ///
    /// # Errors
    /// Where the script fails; with its words.
    pub fn start_as(kind: Kind, dir: &Path, seed: Seed<'_>) -> anyhow::Result<Self> {
        // Both are held until both are known: they must differ.
        let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [port, pg_port] = [free[0].local_addr()?.port(), free[1].local_addr()?.port()];
        drop(free);
        let seed = vec![
            ("TRYTON_SEED_SITES", seed.sites.join(" ")),
            ("TRYTON_SEED_PRODUCTS", seed.products.to_string()),
            ("TRYTON_SEED_SHIPMENTS", seed.shipments.to_string()),
        ];
        let access = Access {
            url: format!("http://127.0.0.1:{port}"),
            database: String::new(),
            user: String::new(),
            password: String::new(),
            timeout: Duration::from_secs(90),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut tryton = Self { dir: dir.to_owned(), port, pg_port, kind, seed, access, runtime };
        tryton.up()?;
        Ok(tryton)
    }

    /// Starts the server again with the data that it has.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn up(&mut self) -> anyhow::Result<()> {
        let output = self.run("up")?;
        let said: Value = serde_json::from_slice(&output).context("the script describes the server")?;
        let text = |key: &str| said[key].as_str().map(str::to_owned).with_context(|| format!("no {key} in {said}"));
        (self.access.database, self.access.user) = (text("database")?, text("user")?);
        self.access.password = text("password")?;
        std::fs::write(self.password_file(), &self.access.password)?;
        Ok(())
    }

    fn run(&self, command: &str) -> anyhow::Result<Vec<u8>> {
        let data = self.dir.to_str().context("a path of text")?;
        let (port, pg_port) = (self.port.to_string(), self.pg_port.to_string());
        let db = if self.kind.is_postgresql { "postgresql" } else { "sqlite" };
        let mut script = Command::new(script());
        script
            .args([command, "--data", data, "--port", &port, "--db", db, "--pg-port", &pg_port])
            .envs(self.seed.iter().map(|(key, value)| (key, value.as_str())));
        if self.kind.is_plain {
            script.env("TRYTON_CONNECTOR", "");
        }
        let output = script.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "tryton-up {command} ended with {}: {said}", output.status);
        Ok(output.stdout)
    }

    /// Kills the server in whatever it does.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&self) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.dir.join("trytond.pid"))?;
        let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw).context("a process number")?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
    }

    /// Ends the PostgreSQL under the server as in a crash, and starts it.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn restart_database(&self) -> anyhow::Result<()> {
        self.run("restart-db").map(drop)
    }

    /// Stops the server.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn down(&self) -> anyhow::Result<()> {
        self.run("down").map(drop)
    }

    /// Where it is and who we are there.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// A connector of our own, beside the aggregator's.
    ///
    /// # Errors
    /// Where the client cannot be set up.
    pub fn connector(&self, access: Access, mapping: Mapping) -> anyhow::Result<Connector> {
        let module = if self.kind.is_plain { UseModule::None } else { UseModule::Required };
        self.connector_by(module, access, mapping)
    }

    /// As [`Self::connector`], whatever the server has.
    ///
    /// # Errors
    /// Where the client cannot be set up.
    pub fn connector_by(&self, module: UseModule, access: Access, mapping: Mapping) -> anyhow::Result<Connector> {
        let ways = Ways { module, settle_ms: 0 };
        Ok(Connector::new(access, mapping, ways, self.runtime.handle().clone())?)
    }

    fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    /// The table of an aggregator's settings that delivers to it.
    pub fn consumer(&self, more: &str) -> String {
        format!(
            "[[consumer]]\nname = \"tryton\"\nkind = \"tryton\"\nerp = true\nurl = \"{}\"\ndatabase = \"{}\"\nuser = \"{}\"\n\
             password_file = \"{}\"\n{more}\n[consumer.statuses]\ndamaged = \"{{warehouse}}-DMG\"\n",
            self.access.url,
            self.access.database,
            self.access.user,
            self.password_file().display(),
        )
    }

    /// A connection of our own, beside the aggregator's.
    ///
    /// # Errors
    /// Where the client cannot be set up.
    pub fn rpc(&self) -> anyhow::Result<Rpc> {
        Ok(Rpc::new(self.access.clone(), self.runtime.handle().clone())?)
    }

    /// Balances of a warehouse by product, all locations together.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn stock(&self, site: &str) -> anyhow::Result<BTreeMap<String, Decimal>> {
        let mut connector = self.connector(self.access.clone(), Mapping::default())?;
        let balances = connector.stock(site).map_err(|words| anyhow::anyhow!("no stock of {site}: {words}"))?;
        let mut sums = BTreeMap::new();
        for ((product, ..), quantity) in balances {
            *sums.entry(product).or_insert(Decimal::ZERO) += quantity;
        }
        Ok(sums)
    }

    /// Orders that wait to be shipped, at most `limit`.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn orders(&self, limit: u32) -> anyhow::Result<Vec<Order>> {
        let mut rpc = self.rpc()?;
        let fields = json!(["reference", "warehouse.code", "outgoing_moves"]);
        let params = [json!([["state", "=", "waiting"]]), json!(0), json!(limit), json!(null), fields];
        let answer = call(&mut rpc, "model.stock.shipment.out.search_read", &params)?;
        let mut orders = Vec::new();
        for row in answer.as_array().into_iter().flatten() {
            let params = [row["outgoing_moves"].clone(), json!(["product.code", "quantity"])];
            let moves = call(&mut rpc, "model.stock.move.read", &params)?;
            let lines = moves
                .as_array()
                .into_iter()
                .flatten()
                .map(|line| {
                    let product = line["product."]["code"].as_str().context("a move has a product")?;
                    let quantity: Decimal = line["quantity"].to_string().parse()?;
                    Ok((product.to_owned(), quantity.normalize()))
                })
                .collect::<anyhow::Result<_>>()?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            orders.push(Order { reference: text(&row["reference"]), site: text(&row["warehouse."]["code"]), lines });
        }
        Ok(orders)
    }

    /// Every effect there is: kind, site and the warehouse's number as the module keeps them; without it model, state and the key.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn effects(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        if self.kind.is_plain {
            return self.documents();
        }
        let params = [json!([]), json!(0), json!(null), json!(null), json!(["kind", "site", "number"])];
        let answer = call(&mut self.rpc()?, "model.docksync.event.search_read", &params)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = answer.as_array().into_iter().flatten();
        Ok(rows.map(|row| (text(&row["kind"]), text(&row["site"]), text(&row["number"]))).collect())
    }

    /// Every document that carries a key, and is done.
    fn documents(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let mut rpc = self.rpc()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut documents = Vec::new();
        for model in ["stock.shipment.internal", "stock.shipment.in", "stock.shipment.out.return"] {
            let domain = json!([["state", "=", "done"], ["reference", "!=", null]]);
            let params = [domain, json!(0), json!(null), json!(null), json!(["reference"])];
            let answer = call(&mut rpc, &format!("model.{model}.search_read"), &params)?;
            let rows = answer.as_array().into_iter().flatten();
            documents.extend(rows.map(|row| (model.to_owned(), "done".to_owned(), text(&row["reference"]))));
        }
        let params = [json!([["state", "=", "done"]]), json!(0), json!(null), json!(null), json!(["state"])];
        let done = call(&mut rpc, "model.stock.shipment.out.search_read", &params)?;
        let done: Vec<String> =
            done.as_array().into_iter().flatten().map(|row| format!("stock.shipment.out,{}", row["id"])).collect();
        let domain = json!([["resource", "in", done]]);
        let params = [domain, json!(0), json!(null), json!(null), json!(["message", "resource"])];
        let notes = call(&mut rpc, "model.ir.note.search_read", &params)?;
        for note in notes.as_array().into_iter().flatten() {
            let message = text(&note["message"]);
            let first = message.lines().next().unwrap_or_default();
            if let Some(key) = first.strip_prefix("docksync shipped ") {
                documents.push(("stock.shipment.out".to_owned(), "done".to_owned(), key.to_owned()));
            }
        }
        Ok(documents)
    }
}

impl Drop for Tryton {
    fn drop(&mut self) {
        // The server was started by a script and is nobody's child: without this it would outlive the test.
        drop(self.down());
    }
}

fn call(rpc: &mut Rpc, method: &str, params: &[Value]) -> anyhow::Result<Value> {
    rpc.call(method, params).map_err(|failure| anyhow::anyhow!("{method} failed: {failure:?}"))
}
