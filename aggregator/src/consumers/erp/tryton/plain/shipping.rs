//! Shipments of orders: which one an event means, and its way to done.
//!
//! Physical truth wins: goods that left are booked whether or not Tryton thought them there (`assign_force`). Quantities are written
//! before the pick, absolute, so that writing them twice is writing them once.

use serde_json::{Value, json};

use super::{
    batch::Told,
    catalog::{Warehouse, id_of},
    choose::{Choice, Found, choose},
    doing::{Doing, Goods, date},
    fill::{self, End, Move},
};
use crate::consumers::{LookUp, Outcome, erp::single::reject};

pub(super) const MODEL: &str = "stock.shipment.out";
const FIELDS: &[&str] = &["number", "reference", "state", "warehouse", "warehouse_storage", "warehouse_output"];
/// Shipments of one reference that are looked at.
const FOUND_MAX: usize = 50;
/// Moves of a shipment that are read.
pub(super) const MOVES_MAX: usize = 2_000;

impl Doing<'_> {
    /// Every shipment that a reference leads to: by its own name, and through the sale, for a backorder has no reference.
    pub(super) async fn shipments(&self, reference: &str) -> Told<Vec<Found>> {
        let named = vec![json!(reference)];
        let mut rows = self.find(MODEL, &["reference", "number"], named, json!([]), FIELDS, FOUND_MAX).await?;
        let by_name = rows.len();
        let known: Vec<i64> = rows.iter().filter_map(|row| id_of(&row["id"])).collect();
        let of_sale: Vec<Value> = self
            .sales(reference)
            .await?
            .iter()
            .flat_map(|sale| sale["shipments"].as_array().cloned().unwrap_or_default())
            .filter(|id| !id_of(id).is_some_and(|id| known.contains(&id)))
            .collect();
        rows.extend(self.find(MODEL, &["id"], of_sale, json!([]), FIELDS, 1).await?);
        let resources = rows.iter().map(|row| json!(format!("{MODEL},{}", row["id"]))).collect();
        let claims = self.claims(resources).await?;
        let found = |(at, row): (usize, &Value)| Found::read(MODEL, row, at < by_name, &claims);
        Ok(rows.iter().enumerate().filter_map(found).collect())
    }

    pub(super) async fn sales(&self, reference: &str) -> Told<Vec<Value>> {
        if !self.shared.facts.has_sales {
            return Ok(Vec::new());
        }
        let more = json!([["state", "in", ["confirmed", "processing", "done"]]]);
        let fields = &["reference", "number", "state", "shipments", "shipment_returns"];
        self.find("sale.sale", &["reference", "number"], vec![json!(reference)], more, fields, FOUND_MAX).await
    }

    /// Brings a shipment that left.
    pub(super) async fn bring_shipped(&self) -> Told<Outcome> {
        let day = self.day()?;
        let warehouse = self.warehouse(&self.document.site).await?;
        let goods = self.goods(&warehouse).await?;
        let shipment = match self.chosen(&warehouse).await? {
            Choice::Done(name) => return self.close_rest(&goods, Outcome::AlreadyApplied(name)).await,
            Choice::Ask(reason) => return Ok(Outcome::NeedsDecision { reason }),
            Choice::Take(shipment) => shipment,
        };
        let shipment = self.prepare_shipment(shipment, &goods, &day).await?;
        let name = self.take_to_done(shipment).await?;
        self.close_rest(&goods, Outcome::Applied(name)).await
    }

    /// Whether it was brought.
    pub(super) async fn find_shipped(&self) -> Told<LookUp> {
        let Some(reference) = &self.document.reference else { return Ok(LookUp::Absent) };
        let found = self.shipments(reference).await?;
        let own: Vec<&Found> = found.iter().filter(|of| of.is_claimed_by(self.document)).collect();
        match own.as_slice() {
            [one] if one.state == "done" => {
                let rest = self.document.lines.iter().any(|line| line.short == Some("cancel"));
                let is_open = rest && self.has_open_rest(one).await?;
                Ok(if is_open { LookUp::Absent } else { LookUp::Found(one.name.clone()) })
            }
            // What is not done has left nothing, and is taken up when the event goes again.
            [] | [_] => Ok(LookUp::Absent),
            several => Ok(LookUp::Several { reason: format!("{} shipments carry the event", several.len()) }),
        }
    }

    async fn chosen(&self, warehouse: &Warehouse) -> Told<Choice> {
        let reference = self.document.reference.as_deref().unwrap_or_default();
        let found = self.shipments(reference).await?;
        match choose(&found, self.document, warehouse.id) {
            Err(Outcome::Rejected { code, .. }) if code == "STATE" && self.let_sale_go_on(reference).await? => {
                choose(&self.shipments(reference).await?, self.document, warehouse.id)
            }
            choice => choice,
        }
    }

    /// Tryton leaves the backorder to its queue, which may have died between the two: asks for it, where the user may.
    async fn let_sale_go_on(&self, reference: &str) -> Told<bool> {
        let sales = self.sales(reference).await?;
        let ids: Vec<i64> =
            sales.iter().filter(|sale| sale["state"] == "processing").filter_map(|sale| id_of(&sale["id"])).collect();
        if ids.is_empty() {
            return Ok(false);
        }
        match self.press("sale.sale", "process", ids).await {
            Ok(()) => Ok(true),
            Err(Outcome::Rejected { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Claims the shipment and writes what went; gives it as it then is.
    pub(super) async fn prepare_shipment(&self, mut shipment: Found, goods: &[Goods], day: &str) -> Told<Found> {
        if shipment.state == "draft" {
            self.press(MODEL, "wait", vec![shipment.id]).await?;
            shipment = self.again(&shipment).await?;
        }
        let mut all = self.moves_of(&shipment.resource).await?;
        fill::check_matched(&shipment.planned(&all), goods, &shipment.name)?;
        if !shipment.has_note_of(&self.document.key) {
            self.claim(&shipment.resource, &json!({"number": self.document.number})).await?;
        }
        let mut commands = self.filled(&shipment, &all, goods).await?;
        if let Some(button) = shipment.way_back().filter(|_| !commands.is_empty()) {
            self.press(MODEL, button, vec![shipment.id]).await?;
            shipment = self.again(&shipment).await?;
            // Going back makes the moves anew.
            all = self.moves_of(&shipment.resource).await?;
            commands = self.filled(&shipment, &all, goods).await?;
        }
        if shipment.state == "shipped" && !commands.is_empty() {
            let reason = format!("{} was handed over in Tryton with other quantities", shipment.name);
            return Err(reject("STATE", reason));
        }
        let mut values = json!({"effective_date": date(day)});
        if !commands.is_empty() {
            values[shipment.planned_field()] = commands.into();
        }
        if shipment.is_picked() {
            self.correct_output(&shipment, &all, goods).await?;
        }
        self.write(MODEL, shipment.id, values).await?;
        Ok(shipment)
    }

    async fn filled(&self, shipment: &Found, all: &[Move], goods: &[Goods]) -> Told<Vec<Value>> {
        let planned = shipment.planned(all);
        let is_picked = shipment.is_picked();
        let pieces = fill::pieces(goods, |good| if is_picked { None } else { good.place });
        self.commands(&planned, &pieces, End::From).await
    }

    /// Commands that deal pieces out to moves.
    pub(super) async fn commands(&self, moves: &[Move], pieces: &fill::Pieces, end: End) -> Told<Vec<Value>> {
        let mut units = std::collections::BTreeMap::new();
        for of in moves {
            let own = self.own_unit(of.product).await?;
            units.insert(of.id, (own, self.unit_of(of.unit).await?));
        }
        fill::commands(moves, &fill::deal(moves, pieces, end), end, &units, self.shared.facts.company)
    }

    pub(super) async fn moves_of(&self, resource: &str) -> Told<Vec<Move>> {
        self.moves(&["shipment"], vec![json!(resource)], json!([])).await
    }

    /// Moves by one of their fields.
    pub(super) async fn moves(&self, by: &'static [&'static str], values: Vec<Value>, more: Value) -> Told<Vec<Move>> {
        let fields = if self.shared.facts.has_lots { fill::FIELDS_WITH_LOT } else { fill::FIELDS };
        let rows = self.find("stock.move", by, values, more, fields, MOVES_MAX).await?;
        Ok(rows.iter().filter_map(Move::read).collect())
    }

    async fn again(&self, shipment: &Found) -> Told<Found> {
        let rows = self.find(MODEL, &["id"], vec![json!(shipment.id)], json!([]), FIELDS, 1).await?;
        let claims = shipment.claims.clone();
        let found = rows.first().and_then(|row| Found::read(MODEL, row, shipment.is_named, &claims));
        found.ok_or_else(|| reject("UNKNOWN_DOCUMENT", format!("{} is not there any more", shipment.name)))
    }

    /// Presses what is left of the way to done.
    async fn take_to_done(&self, mut shipment: Found) -> Told<String> {
        while let Some((button, after)) = shipment.next() {
            self.press(MODEL, button, vec![shipment.id]).await?;
            after.clone_into(&mut shipment.state);
        }
        Ok(shipment.name)
    }
}
