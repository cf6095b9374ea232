//! A real Tryton with our module, brought up by `tests/erp/tryton-up`.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use docksync_aggregator::consumers::erp::{
    balances::Stocked,
    mapping::Mapping,
    tryton::{
        Tryton as Connector,
        plain::Plain,
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

/// A running Tryton.
#[derive(Debug)]
pub struct Tryton {
    dir: PathBuf,
    port: u16,
    seed: Vec<(&'static str, String)>,
    /// Port of its PostgreSQL, where it has one.
    postgres: Option<u16>,
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
        Self::start_with(dir, seed, &[], None)
    }

    /// Brings one up with a PostgreSQL of its own under it. The folder must be open to PostgreSQL's user where the test runs as root.
    ///
    /// # Errors
    /// Where the script fails; with its words.
    pub fn start_on_postgres(dir: &Path, seed: Seed<'_>) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Self::start_with(dir, seed, &[], Some(port))
    }

    /// Brings one up without our module.
    ///
    /// # Errors
    /// Where the script fails; with its words.
    pub fn start_plain(dir: &Path, seed: Seed<'_>) -> anyhow::Result<Self> {
        Self::start_with(dir, seed, &[("TRYTON_CONNECTOR", "")], None)
    }

    fn start_with(
        dir: &Path,
        seed: Seed<'_>,
        more: &[(&'static str, &str)],
        postgres: Option<u16>,
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut seed = vec![
            ("TRYTON_SEED_SITES", seed.sites.join(" ")),
            ("TRYTON_SEED_PRODUCTS", seed.products.to_string()),
            ("TRYTON_SEED_SHIPMENTS", seed.shipments.to_string()),
        ];
        seed.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let access = Access {
            url: format!("http://127.0.0.1:{port}"),
            database: String::new(),
            user: String::new(),
            password: String::new(),
            timeout: Duration::from_secs(90),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut tryton = Self { dir: dir.to_owned(), port, seed, postgres, access, runtime };
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
        let port = self.port.to_string();
        let output = Command::new(script())
            .args([command, "--data", data, "--port", &port])
            .args(self.postgres.iter().flat_map(|port| {
                ["--db".to_owned(), "postgresql".to_owned(), "--pg-port".to_owned(), port.to_string()]
            }))
            .envs(self.seed.iter().map(|(key, value)| (key, value.as_str())))
            .output()?;
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

    /// Ends the PostgreSQL under it as a crash does, and starts it again.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn restart_postgres(&self) -> anyhow::Result<()> {
        self.run("restart-db").map(drop)
    }

    /// Stops the server.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn down(&self) -> anyhow::Result<()> {
        self.run("down").map(drop)
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
        let mut connector = Connector::new(self.access.clone(), Mapping::default(), self.runtime.handle().clone())?;
        let balances = connector.stock(site).map_err(|failure| anyhow::anyhow!("no stock of {site}: {failure:?}"))?;
        let mut sums = BTreeMap::new();
        for ((product, ..), quantity) in balances {
            *sums.entry(product).or_insert(Decimal::ZERO) += quantity;
        }
        Ok(sums)
    }

    /// A connector of our own through our module.
    ///
    /// # Errors
    /// Where it cannot be set up.
    pub fn connector(&self) -> anyhow::Result<Connector> {
        Ok(Connector::new(self.access.clone(), Mapping::default(), self.runtime.handle().clone())?)
    }

    /// As [`Tryton::stock`], of a server without our module.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn plain_stock(&self, site: &str) -> anyhow::Result<BTreeMap<String, Decimal>> {
        let mut sums = BTreeMap::new();
        for ((product, _), quantity) in self.plain_places(site)? {
            *sums.entry(product).or_insert(Decimal::ZERO) += quantity;
        }
        Ok(sums)
    }

    /// Balances by product and place of a server without our module; available stock has no place.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn plain_places(&self, site: &str) -> anyhow::Result<BTreeMap<(String, String), Decimal>> {
        let told = Stocked::stock(&mut self.plain(&[])?, site);
        let told = told.map_err(|why| anyhow::anyhow!("no stock of {site}: {why}"))?;
        Ok(told.into_iter().map(|(product, _, place, quantity)| ((product, place), quantity)).collect())
    }

    /// A connector of our own to a server without our module; with places for stock statuses.
    ///
    /// # Errors
    /// Where it cannot be set up.
    pub fn plain(&self, statuses: &[(&str, &str)]) -> anyhow::Result<Plain> {
        let statuses = statuses.iter().map(|(status, place)| ((*status).to_owned(), (*place).to_owned())).collect();
        let mapping = Mapping { statuses, ..Mapping::default() };
        Ok(Plain::new(self.access.clone(), mapping, self.runtime.handle().clone())?)
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

    /// Every effect that the module keeps: kind, site and the warehouse's number.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn effects(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let params = [json!([]), json!(0), json!(null), json!(null), json!(["kind", "site", "number"])];
        let answer = call(&mut self.rpc()?, "model.docksync.event.search_read", &params)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = answer.as_array().into_iter().flatten();
        Ok(rows.map(|row| (text(&row["kind"]), text(&row["site"]), text(&row["number"]))).collect())
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
