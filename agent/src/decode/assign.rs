//! Puts one value of a row into the event, checking and translating it on the way.

use std::borrow::Cow;

use docksync_proto::{
    codes,
    event::{
        Action, Container, Content, Event, Line, LineStatus, Measure, Party, PartyRole, RefKind, Reference, Warning,
    },
};
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{
    moment::{Clockwork, Doubt, parse_date},
    number::{NumberForm, SCALE_MAX},
    plan::{Blanks, FieldPlan, Input, Step},
    profile::Transform,
    target::{ContainerField, ContentField, LineField, Target, container_kind},
    trade::without_zeros,
};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) column: u32,
    pub(super) field: String,
    pub(super) found: String,
    pub(super) expected: String,
}

impl Fault {
    fn new(code: &'static str, plan: &FieldPlan, found: &str, expected: impl Into<String>) -> Self {
        let field = if plan.label.is_empty() { &plan.name } else { &plan.label };
        let found = found.chars().take(200).collect();
        Self { code, column: plan.column, field: field.clone(), found, expected: expected.into() }
    }
}

/// What reading a value needs beside the row.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) number: NumberForm,
    pub(super) clockwork: Clockwork,
    /// Values of references of the document before, whose memory serves again.
    pub(super) spare: Vec<String>,
}

/// Most values that are kept for the next document.
const SPARE_MAX: usize = 16;

impl Tools {
    /// For the numbers and times of a feed.
    pub(super) const fn new(number: NumberForm, clockwork: Clockwork) -> Self {
        Self { number, clockwork, spare: Vec::new() }
    }

    /// Takes the references out of an event that has been handed over.
    pub(super) fn clear(&mut self, references: &mut Vec<Reference>) {
        let room = SPARE_MAX.saturating_sub(self.spare.len());
        self.spare.extend(references.drain(..).take(room).map(|reference| reference.value));
    }

    fn reference<'r>(&mut self, references: &'r mut Vec<Reference>, kind: RefKind) -> &'r mut Reference {
        let at = references.iter().position(|known| known.kind == kind).unwrap_or_else(|| {
            let mut value = self.spare.pop().unwrap_or_default();
            value.clear();
            references.push(Reference { kind, value, date: None });
            references.len() - 1
        });
        &mut references[at]
    }
}

/// Reads the field from the row into the event. Lines and containers go into the last of the event.
pub(super) fn assign(
    plan: &FieldPlan,
    row: Input<'_>,
    blanks: &Blanks,
    tools: &mut Tools,
    event: &mut Event,
) -> Result<(), Fault> {
    // Most fields are what stands in a cell, as it stands there.
    if let (Some((at, slot)), Input::Cells(cells)) = (plan.plain, row) {
        let raw = cells.cell(at).and_then(|text| blanks.clean(text));
        if let (Some(slot), Some(text)) = (slot, raw) {
            text.clone_into(slot.slot(line(event)));
            return Ok(());
        }
        return put(plan, raw, Sign::default(), tools, event);
    }
    let mut value = plan.source.text(row, blanks);
    let mut sign = Sign::default();
    for step in &plan.steps {
        match step {
            Step::Plain(Transform::Scale(digits)) => sign.scale = *digits,
            Step::Plain(transform) => value = value.and_then(|text| change(transform, text)),
            Step::NegateIf(source, values) => {
                sign.is_negated ^= source.text(row, blanks).is_some_and(|text| values.iter().any(|v| *v == text));
            }
        }
    }
    put(plan, value.as_deref(), sign, tools, event)
}

/// What the steps of a field say about a number beside its digits.
#[derive(Debug, Clone, Copy, Default)]
struct Sign {
    /// Digits behind the point that the text does not show.
    scale: u32,
    is_negated: bool,
}

/// Puts a value into the event; `raw` is what the row and the steps give.
fn put(plan: &FieldPlan, raw: Option<&str>, sign: Sign, tools: &mut Tools, event: &mut Event) -> Result<(), Fault> {
    let mapped = plan.map.as_ref().zip(raw).and_then(|(map, text)| mapped(map, text));
    let text = match mapped.or(raw).filter(|text| !text.is_empty()).or(plan.default.as_deref()) {
        Some(text) => text,
        None if plan.required => return Err(Fault::new("MISSING_MANDATORY", plan, "nothing", "a value")),
        None => return Ok(()),
    };
    if plan.is_decimal {
        let number = quantity(plan, text, sign, tools, event)?;
        place_decimal(&plan.to, number, event);
        return Ok(());
    }
    place(plan, text, raw.unwrap_or(text), tools, event)
}

/// The map's answer; keys are in capitals.
fn mapped<'m>(map: &'m std::collections::BTreeMap<String, String>, text: &str) -> Option<&'m str> {
    let has_small = text.chars().any(char::is_lowercase);
    if has_small { map.get(&text.to_uppercase()) } else { map.get(text) }.map(String::as_str)
}

fn change<'t>(transform: &Transform, text: Cow<'t, str>) -> Option<Cow<'t, str>> {
    let cut: fn(&str) -> &str = match transform {
        Transform::Trim => str::trim,
        Transform::StripLeadingZeros => without_zeros,
        Transform::Upper => return Some(Cow::Owned(text.to_uppercase())),
        Transform::Substring { start, len } => {
            let part: String = text.chars().skip(*start).take(*len).collect();
            return (!part.is_empty()).then_some(Cow::Owned(part));
        }
        Transform::Regex(regex) => {
            let captures = regex.captures(&text)?;
            return captures.get(1).or_else(|| captures.get(0)).map(|m| Cow::Owned(m.as_str().to_owned()));
        }
        Transform::Scale(_) | Transform::NegateIf { .. } => return Some(text),
    };
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    })
}

fn quantity(
    plan: &FieldPlan,
    text: &str,
    Sign { scale, is_negated }: Sign,
    tools: &Tools,
    event: &mut Event,
) -> Result<Decimal, Fault> {
    let expected = || match tools.number.mark {
        b',' => "a number, as 12,5",
        _ => "a number, as 12.5",
    };
    let wrong = || Fault::new("INVALID_QUANTITY", plan, text, expected());
    let mut number = tools.number.parse(text).ok_or_else(wrong)?;
    if scale > 0 {
        number.set_scale(number.scale() + scale).map_err(|_| wrong())?;
    }
    if is_negated {
        number = -number;
    }
    if number.scale() > SCALE_MAX && number.normalize().scale() > SCALE_MAX {
        number = number.round_dp(SCALE_MAX);
        warn(event, "QUANTITY_ROUNDED", plan, format!("{text} has more than {SCALE_MAX} digits behind the point"));
    }
    if let Some(min) = plan.min.filter(|min| number < *min) {
        return Err(Fault::new("INVALID_QUANTITY", plan, text, format!("at least {min}")));
    }
    if let Some(max) = plan.max.filter(|max| number > *max) {
        return Err(Fault::new("INVALID_QUANTITY", plan, text, format!("at most {max}")));
    }
    Ok(number)
}

fn place_decimal(to: &Target, number: Decimal, event: &mut Event) {
    match to {
        Target::Line(LineField::Quantity(quantity)) => *quantity.slot(line(event)) = Some(number),
        Target::Line(LineField::NetWeight) => weigh(&mut line(event).net_weight).value = number,
        Target::Line(LineField::GrossWeight) => weigh(&mut line(event).gross_weight).value = number,
        Target::Container(ContainerField::Weight) => weigh(&mut container(event).weight).value = number,
        Target::Content(_) => content(event).qty = Some(number),
        _ => {}
    }
}

fn weigh(measure: &mut Option<Measure>) -> &mut Measure {
    measure.get_or_insert_with(|| Measure { value: Decimal::ZERO, unit: String::new() })
}

/// `raw` is the text before the map: codes keep it beside their meaning.
fn place(plan: &FieldPlan, text: &str, raw: &str, tools: &mut Tools, event: &mut Event) -> Result<(), Fault> {
    match &plan.to {
        Target::EventTime => time(plan, text, tools, event)?,
        Target::Action => {
            event.action = Action::from_word(&text.to_ascii_lowercase())
                .ok_or_else(|| Fault::new("INVALID_ACTION", plan, text, "add, change or void; a map can translate"))?;
        }
        Target::Event(slot) => text.clone_into(slot.slot(event)),
        Target::Reference(kind) => text.clone_into(&mut tools.reference(&mut event.references, *kind).value),
        Target::ReferenceDate(kind) => {
            let date = day(plan, text)?;
            tools.reference(&mut event.references, *kind).date = Some(date);
        }
        Target::Party(role, slot) => text.clone_into(slot.slot(party(event, *role))),
        Target::Interchange(slot) => text.clone_into(slot.slot(&mut event.interchange)),
        Target::Line(field) => place_line(*field, plan, text, raw, tools, event)?,
        Target::Container(field) => place_container(*field, plan, text, event)?,
        Target::Content(field) => match field {
            ContentField::Text(slot) => text.clone_into(slot.slot(content(event))),
            ContentField::Uom => unit(plan, text)?.clone_into(&mut content(event).uom),
            ContentField::Serials => content(event).serials.extend(serials(text)),
            ContentField::Qty => {}
        },
        Target::Extension(key) => {
            event.extensions.insert(key.clone(), text.to_owned());
        }
    }
    Ok(())
}

fn time(plan: &FieldPlan, text: &str, tools: &mut Tools, event: &mut Event) -> Result<(), Fault> {
    let expected = || match plan.formats.as_slice() {
        [] => "a time as 2026-11-23T09:15:27".to_owned(),
        formats => format!("a time as {}", formats.join(" or ")),
    };
    let doubt = tools.clockwork.read(text, &plan.formats, &mut event.time);
    match doubt.ok_or_else(|| Fault::new("INVALID_DATE", plan, text, expected()))? {
        Some(Doubt::Ambiguous) => {
            warn(event, "AMBIGUOUS_TIME", plan, format!("the clock showed {text} twice; the first is taken"));
        }
        Some(Doubt::Nonexistent) => {
            warn(event, "NONEXISTENT_TIME", plan, format!("the clock never showed {text}"));
        }
        None => {}
    }
    // A clock that runs ahead is the site's to set right; what it wrote is still a fact.
    if event.time.at > event.record_time && (event.time.at - event.record_time).get_seconds() > 86_400 {
        warn(event, "FUTURE_TIME", plan, format!("{text} is more than a day ahead"));
    }
    Ok(())
}

fn day(plan: &FieldPlan, text: &str) -> Result<Date, Fault> {
    parse_date(text, &plan.formats)
        .ok_or_else(|| Fault::new("INVALID_DATE", plan, text, "a day as 2026-11-23, or in the declared format"))
}

fn place_line(
    field: LineField,
    plan: &FieldPlan,
    text: &str,
    raw: &str,
    tools: &mut Tools,
    event: &mut Event,
) -> Result<(), Fault> {
    match field {
        LineField::Text(slot) => text.clone_into(slot.slot(line(event))),
        LineField::Uom => unit(plan, text)?.clone_into(&mut line(event).uom),
        LineField::Serials => line(event).serials.extend(serials(text)),
        LineField::Gtin => gtin(plan, text, event),
        LineField::Expiry => line(event).expiry_date = Some(day(plan, text)?),
        LineField::BestBefore => line(event).best_before_date = Some(day(plan, text)?),
        LineField::NetWeightUnit => text.clone_into(&mut weigh(&mut line(event).net_weight).unit),
        LineField::GrossWeightUnit => text.clone_into(&mut weigh(&mut line(event).gross_weight).unit),
        LineField::Status => {
            let status = LineStatus::from_word(text).unwrap_or(LineStatus::Other);
            line(event).status_code = Some(status);
            raw.clone_into(&mut line(event).status_source);
        }
        LineField::StockFrom => line(event).stock_status_from = stock_status(text),
        LineField::StockTo => line(event).stock_status_to = stock_status(text),
        LineField::Reason => reason(plan, text, raw, event),
        LineField::Reference(kind) => {
            text.clone_into(&mut tools.reference(&mut line(event).references, kind).value);
        }
        LineField::Quantity(_) | LineField::NetWeight | LineField::GrossWeight => {}
    }
    Ok(())
}

fn place_container(field: ContainerField, plan: &FieldPlan, text: &str, event: &mut Event) -> Result<(), Fault> {
    match field {
        ContainerField::Text(slot) => text.clone_into(slot.slot(container(event))),
        ContainerField::Sscc => sscc(plan, text, event),
        ContainerField::Kind => {
            let wrong =
                || Fault::new("INVALID_CODE", plan, text, "pallet, carton, tote or parcel; a map can translate");
            container(event).kind = Some(container_kind(text).ok_or_else(wrong)?);
        }
        ContainerField::WeightUnit => text.clone_into(&mut weigh(&mut container(event).weight).unit),
        ContainerField::Weight => {}
    }
    Ok(())
}

/// The canonical unit; one that only the profile's own map knows is taken as the map gives it.
fn unit<'t>(plan: &FieldPlan, text: &'t str) -> Result<&'t str, Fault> {
    if let Some(unit) = codes::canonical_uom(text) {
        return Ok(unit);
    }
    if plan.map.as_ref().is_some_and(|map| map.values().any(|value| value == text)) {
        return Ok(text);
    }
    Err(Fault::new("UNKNOWN_UOM", plan, text, "a known unit, as EA, CA or KG, or an entry in the feed's map"))
}

fn stock_status(text: &str) -> String {
    if codes::is_stock_status(text) { text.to_owned() } else { format!("other:{text}") }
}

fn reason(plan: &FieldPlan, text: &str, raw: &str, event: &mut Event) {
    let canonical = codes::REASONS.iter().copied().find(|known| *known == text);
    if canonical.is_none() {
        warn(event, "UNKNOWN_REASON", plan, format!("`{text}` is no known reason"));
    }
    let reason = &mut line(event).reason;
    canonical.unwrap_or("other").clone_into(&mut reason.code);
    if canonical != Some(raw) && reason.source_code.is_empty() {
        raw.clone_into(&mut reason.source_code);
    }
}

fn gtin(plan: &FieldPlan, text: &str, event: &mut Event) {
    let has_length = matches!(text.len(), 8 | 12 | 13 | 14);
    if has_length && codes::has_check_digit(text) {
        line(event).item.gtin = format!("{text:0>14}");
        return;
    }
    warn(event, "GTIN_CHECK_DIGIT", plan, format!("`{text}` is no GTIN"));
    let at = event.lines.len();
    event.extensions.insert(format!("gtin[{at}]"), text.to_owned());
}

fn sscc(plan: &FieldPlan, text: &str, event: &mut Event) {
    let bare = text.strip_prefix("00").filter(|rest| rest.len() == 18).unwrap_or(text);
    let is_sound = bare.len() == 18 && codes::has_check_digit(bare);
    let target = container(event);
    if target.container_id.is_empty() {
        text.clone_into(&mut target.container_id);
    }
    if is_sound {
        bare.clone_into(&mut target.sscc);
    } else {
        warn(event, "SSCC_CHECK_DIGIT", plan, format!("`{text}` is no SSCC"));
    }
}

fn serials(text: &str) -> impl Iterator<Item = String> {
    text.split([';', ',']).map(str::trim).filter(|serial| !serial.is_empty()).map(str::to_owned)
}

#[inline]
pub(super) fn line(event: &mut Event) -> &mut Line {
    if event.lines.is_empty() {
        event.lines.push(Line::default());
    }
    let last = event.lines.len() - 1;
    &mut event.lines[last]
}

pub(super) fn container(event: &mut Event) -> &mut Container {
    if event.containers.is_empty() {
        event.containers.push(Container::default());
    }
    let last = event.containers.len() - 1;
    &mut event.containers[last]
}

fn content(event: &mut Event) -> &mut Content {
    let contents = &mut container(event).contents;
    if contents.is_empty() {
        contents.push(Content::default());
    }
    let last = contents.len() - 1;
    &mut contents[last]
}

fn party(event: &mut Event, role: PartyRole) -> &mut Party {
    let at = event.parties.iter().position(|p| p.role == role).unwrap_or_else(|| {
        let (id, id_scheme, name, address) = Default::default();
        event.parties.push(Party { role, id, id_scheme, name, address });
        event.parties.len() - 1
    });
    &mut event.parties[at]
}

fn warn(event: &mut Event, code: &str, plan: &FieldPlan, text: String) {
    event.warnings.push(Warning { code: code.to_owned(), path: plan.name.clone(), text });
}
