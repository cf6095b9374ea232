//! Fields of the canonical event by the names of the contract, as a profile's `to` names them.

use docksync_proto::event::{Container, ContainerKind, Content, Event, Interchange, Line, PartyRole, RefKind};

/// What kind of value a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A quantity or weight.
    Decimal,
    /// A calendar day.
    Date,
    /// A point in time.
    Time,
    /// A unit of measure.
    Uom,
    /// A reason of an adjustment.
    Reason,
    /// A stock status.
    Status,
    /// How a line ended.
    LineStatus,
    /// A trade item number.
    Gtin,
    /// A serial shipping container code.
    Sscc,
    /// `add`, `change` or `void`.
    Action,
    /// `pallet`, `carton`, `tote` or `parcel`.
    ContainerKind,
}

/// Place of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `event_time`.
    EventTime,
    /// `action`.
    Action,
    /// A text of the event itself.
    Event(EventText),
    /// `references.<kind>`.
    Reference(RefKind),
    /// `references.<kind>.date`.
    ReferenceDate(RefKind),
    /// `parties.<role>.<field>`.
    Party(PartyRole, PartyText),
    /// `interchange.<field>`.
    Interchange(InterchangeText),
    /// `lines.<field>`.
    Line(LineField),
    /// `containers.<field>`.
    Container(ContainerField),
    /// `containers.contents.<field>`.
    Content(ContentField),
    /// `extensions.<name>`.
    Extension(String),
}

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident of $type:ty { $( $variant:ident $word:literal $($field:ident).+ ; )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are those of the contract, documented there")]
        pub enum $name { $( $variant ),* }

        impl $name {
            const WORDS: &'static [(&'static str, Self)] = &[$( ($word, Self::$variant) ),*];

            pub(super) fn slot(self, of: &mut $type) -> &mut String {
                match self { $( Self::$variant => &mut of.$($field).+ ),* }
            }
        }
    };
}

texts! {
    /// Texts of the event itself.
    EventText of Event {
        Correlation "correlation_id" correlation_id;
        Operator "operator" operator;
        System "source.system" source.system;
    }
}
texts! {
    /// Texts of a party.
    PartyText of docksync_proto::event::Party {
        Id "id" id;
        Scheme "id_scheme" id_scheme;
        Name "name" name;
        Address "address" address;
    }
}
texts! {
    /// Texts of the interchange.
    InterchangeText of Interchange {
        Sender "sender" sender;
        Receiver "receiver" receiver;
        Control "control" control;
        GroupControl "group_control" group_control;
        SetControl "set_control" set_control;
        Version "version" version;
        Usage "usage" usage;
    }
}
texts! {
    /// Texts of a line.
    LineText of Line {
        LineNo "line_no" line_no;
        SourceLineNo "source_line_no" source_line_no;
        Sku "item.sku" item.sku;
        BuyerItem "item.buyer_item" item.buyer_item;
        VendorItem "item.vendor_item" item.vendor_item;
        UpcCase "item.upc_case" item.upc_case;
        Ndc "item.ndc" item.ndc;
        Description "item.description" item.description;
        Lot "lot" lot;
        ProductionCode "production_code" production_code;
        StatusSource "status_source" status_source;
        ReasonSource "reason.source_code" reason.source_code;
        ReasonText "reason.text" reason.text;
        LocationFrom "location_from" location_from;
        LocationTo "location_to" location_to;
        ContainerRef "container_ref" container_ref;
    }
}
texts! {
    /// Texts of a container.
    ContainerText of Container {
        Id "container_id" container_id;
        Parent "parent_id" parent_id;
        Tracking "tracking_no" tracking_no;
        Carrier "carrier_scac" carrier_scac;
        Service "service" service;
        Dims "dims" dims;
    }
}
texts! {
    /// Texts of a container's content.
    ContentText of Content {
        LineNo "line_no" line_no;
        Sku "sku" sku;
        Lot "lot" lot;
    }
}

/// Quantities of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the contract, documented there")]
pub enum LineQuantity {
    Qty,
    Ordered,
    Shipped,
    Difference,
    Received,
    Damaged,
    Before,
    After,
}

impl LineQuantity {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("qty", Self::Qty),
        ("qty_ordered", Self::Ordered),
        ("qty_shipped", Self::Shipped),
        ("qty_difference", Self::Difference),
        ("qty_received", Self::Received),
        ("qty_damaged", Self::Damaged),
        ("qty_before", Self::Before),
        ("qty_after", Self::After),
    ];

    pub(super) fn slot(self, line: &mut Line) -> &mut Option<rust_decimal::Decimal> {
        match self {
            Self::Qty => &mut line.qty,
            Self::Ordered => &mut line.qty_ordered,
            Self::Shipped => &mut line.qty_shipped,
            Self::Difference => &mut line.qty_difference,
            Self::Received => &mut line.qty_received,
            Self::Damaged => &mut line.qty_damaged,
            Self::Before => &mut line.qty_before,
            Self::After => &mut line.qty_after,
        }
    }
}

/// A field of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineField {
    /// A text.
    Text(LineText),
    /// A quantity.
    Quantity(LineQuantity),
    /// `uom`.
    Uom,
    /// `serials`; several are separated by `;` or `,`.
    Serials,
    /// `item.gtin`.
    Gtin,
    /// `expiry_date`.
    Expiry,
    /// `best_before_date`.
    BestBefore,
    /// `net_weight`.
    NetWeight,
    /// `net_weight.unit`.
    NetWeightUnit,
    /// `gross_weight`.
    GrossWeight,
    /// `gross_weight.unit`.
    GrossWeightUnit,
    /// `status_code`.
    Status,
    /// `stock_status_from`.
    StockFrom,
    /// `stock_status_to`.
    StockTo,
    /// `reason.code`.
    Reason,
    /// `references.<kind>` of the line.
    Reference(RefKind),
}

/// A field of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerField {
    /// A text.
    Text(ContainerText),
    /// `sscc`.
    Sscc,
    /// `type`.
    Kind,
    /// `weight`.
    Weight,
    /// `weight.unit`.
    WeightUnit,
}

/// A field of a container's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentField {
    /// A text.
    Text(ContentText),
    /// `qty`.
    Qty,
    /// `uom`.
    Uom,
    /// `serials`.
    Serials,
}

const LINE_OTHERS: &[(&str, LineField)] = &[
    ("uom", LineField::Uom),
    ("serials", LineField::Serials),
    ("item.gtin", LineField::Gtin),
    ("expiry_date", LineField::Expiry),
    ("best_before_date", LineField::BestBefore),
    ("net_weight", LineField::NetWeight),
    ("net_weight.unit", LineField::NetWeightUnit),
    ("gross_weight", LineField::GrossWeight),
    ("gross_weight.unit", LineField::GrossWeightUnit),
    ("status_code", LineField::Status),
    ("stock_status_from", LineField::StockFrom),
    ("stock_status_to", LineField::StockTo),
    ("reason.code", LineField::Reason),
];

const CONTAINER_OTHERS: &[(&str, ContainerField)] = &[
    ("sscc", ContainerField::Sscc),
    ("type", ContainerField::Kind),
    ("weight", ContainerField::Weight),
    ("weight.unit", ContainerField::WeightUnit),
];

const CONTENT_OTHERS: &[(&str, ContentField)] =
    &[("qty", ContentField::Qty), ("uom", ContentField::Uom), ("serials", ContentField::Serials)];

fn find<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}

impl Target {
    /// The field with this name.
    pub fn parse(path: &str) -> Option<Self> {
        if path == "event_time" {
            return Some(Self::EventTime);
        }
        if path == "action" {
            return Some(Self::Action);
        }
        if let Some(text) = find(EventText::WORDS, path) {
            return Some(Self::Event(text));
        }
        let (room, rest) = path.split_once('.')?;
        match room {
            "references" => match rest.strip_suffix(".date") {
                Some(kind) => RefKind::from_word(kind).map(Self::ReferenceDate),
                None => RefKind::from_word(rest).map(Self::Reference),
            },
            "parties" => {
                let (role, field) = rest.split_once('.')?;
                Some(Self::Party(PartyRole::from_word(role)?, find(PartyText::WORDS, field)?))
            }
            "interchange" => find(InterchangeText::WORDS, rest).map(Self::Interchange),
            "lines" => line_field(rest).map(Self::Line),
            "containers" => match rest.strip_prefix("contents.") {
                Some(field) => content_field(field).map(Self::Content),
                None => container_field(rest).map(Self::Container),
            },
            "extensions" if !rest.is_empty() => Some(Self::Extension(rest.to_owned())),
            _ => None,
        }
    }

    /// Every name, for suggestions.
    pub fn known() -> Vec<String> {
        let mut all = vec!["event_time".to_owned(), "action".to_owned()];
        let mut add = |prefix: &str, words: &mut dyn Iterator<Item = &'static str>| {
            all.extend(words.map(|word| format!("{prefix}{word}")));
        };
        add("", &mut EventText::WORDS.iter().map(|w| w.0));
        add("references.", &mut RefKind::ALL.iter().map(|k| k.as_str()));
        for role in PartyRole::ALL {
            add(&format!("parties.{role}."), &mut PartyText::WORDS.iter().map(|w| w.0));
        }
        add("interchange.", &mut InterchangeText::WORDS.iter().map(|w| w.0));
        add("lines.", &mut LineText::WORDS.iter().map(|w| w.0));
        add("lines.", &mut LineQuantity::WORDS.iter().map(|w| w.0));
        add("lines.", &mut LINE_OTHERS.iter().map(|w| w.0));
        add("lines.references.", &mut RefKind::ALL.iter().map(|k| k.as_str()));
        add("containers.", &mut ContainerText::WORDS.iter().map(|w| w.0));
        add("containers.", &mut CONTAINER_OTHERS.iter().map(|w| w.0));
        add("containers.contents.", &mut ContentText::WORDS.iter().map(|w| w.0));
        add("containers.contents.", &mut CONTENT_OTHERS.iter().map(|w| w.0));
        all
    }

    /// What kind of value goes there.
    pub fn kind(&self) -> Kind {
        match self {
            Self::EventTime => Kind::Time,
            Self::Action => Kind::Action,
            Self::ReferenceDate(_) => Kind::Date,
            Self::Event(_) | Self::Reference(_) | Self::Party(..) | Self::Interchange(_) | Self::Extension(_) => {
                Kind::Text
            }
            Self::Line(field) => field.kind(),
            Self::Container(field) => match field {
                ContainerField::Text(_) | ContainerField::WeightUnit => Kind::Text,
                ContainerField::Sscc => Kind::Sscc,
                ContainerField::Kind => Kind::ContainerKind,
                ContainerField::Weight => Kind::Decimal,
            },
            Self::Content(field) => match field {
                ContentField::Text(_) | ContentField::Serials => Kind::Text,
                ContentField::Qty => Kind::Decimal,
                ContentField::Uom => Kind::Uom,
            },
        }
    }

    /// Whether this is a field of the rows below a header rather than of the header.
    pub fn is_detail(&self) -> bool {
        matches!(self, Self::Line(_) | Self::Container(_) | Self::Content(_))
    }
}

impl LineField {
    const fn kind(self) -> Kind {
        match self {
            Self::Text(_) | Self::Serials | Self::NetWeightUnit | Self::GrossWeightUnit | Self::Reference(_) => {
                Kind::Text
            }
            Self::Quantity(_) | Self::NetWeight | Self::GrossWeight => Kind::Decimal,
            Self::Uom => Kind::Uom,
            Self::Gtin => Kind::Gtin,
            Self::Expiry | Self::BestBefore => Kind::Date,
            Self::Status => Kind::LineStatus,
            Self::StockFrom | Self::StockTo => Kind::Status,
            Self::Reason => Kind::Reason,
        }
    }
}

fn line_field(name: &str) -> Option<LineField> {
    if let Some(kind) = name.strip_prefix("references.") {
        return RefKind::from_word(kind).map(LineField::Reference);
    }
    find(LineText::WORDS, name)
        .map(LineField::Text)
        .or_else(|| find(LineQuantity::WORDS, name).map(LineField::Quantity))
        .or_else(|| find(LINE_OTHERS, name))
}

fn container_field(name: &str) -> Option<ContainerField> {
    find(ContainerText::WORDS, name).map(ContainerField::Text).or_else(|| find(CONTAINER_OTHERS, name))
}

fn content_field(name: &str) -> Option<ContentField> {
    find(ContentText::WORDS, name).map(ContentField::Text).or_else(|| find(CONTENT_OTHERS, name))
}

/// The container kind with this name in any case.
pub(super) fn container_kind(text: &str) -> Option<ContainerKind> {
    ContainerKind::from_word(&text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_a_field() {
        for name in Target::known() {
            assert!(Target::parse(&name).is_some(), "{name}");
        }
        assert_eq!(Target::parse("lines.item.skuu"), None);
    }
}
