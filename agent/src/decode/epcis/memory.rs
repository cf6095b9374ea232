//! What later events of a file ask of earlier ones, bounded: contents of containers, what has left, what was corrected.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use docksync_proto::event::{Container, Event, Line};
use uuid::Uuid;

/// Most lines of packed containers that are remembered.
pub(super) const CONTENT_LINES_MAX: usize = 20_000;
/// Most identifiers that are remembered as shipped.
pub(super) const SHIPPED_MAX: usize = 200_000;
/// Most corrections that are remembered.
const CORRECTIONS_MAX: usize = 10_000;
/// Deepest nesting of containers.
const NESTED_MAX: usize = 8;

/// What was seen of the file so far.
#[derive(Debug, Default)]
pub(super) struct Memory {
    packed: BTreeMap<String, (Vec<Line>, Vec<Container>)>,
    lines: usize,
    shipped: HashSet<u64>,
    corrections: BTreeMap<String, Uuid>,
}

impl Memory {
    /// Goods were closed into the event's first container.
    pub(super) fn pack(&mut self, event: &Event) {
        let Some((outer, inner)) = event.containers.split_first() else { return };
        let count = event.lines.len() + inner.len();
        if self.lines + count <= CONTENT_LINES_MAX {
            self.lines += count;
            let entry = self.packed.entry(outer.container_id.clone()).or_default();
            entry.0.extend(event.lines.iter().cloned());
            entry.1.extend(inner.iter().cloned());
        }
    }

    /// The container was opened.
    pub(super) fn unpack(&mut self, container: &str) {
        if let Some((lines, inner)) = self.packed.remove(container) {
            self.lines = self.lines.saturating_sub(lines.len() + inner.len());
        }
    }

    /// Adds what is known to lie in the event's containers.
    pub(super) fn fill(&self, event: &mut Event) {
        let mut next: Vec<(String, usize)> =
            event.containers.iter().rev().map(|container| (container.container_id.clone(), 0)).collect();
        while let Some((container, depth)) = next.pop() {
            let Some((lines, inner)) = self.packed.get(&container) else { continue };
            if event.lines.len() + lines.len() > CONTENT_LINES_MAX {
                return;
            }
            event.lines.extend(lines.iter().cloned());
            for unit in inner.iter().filter(|_| depth < NESTED_MAX) {
                if event.containers.iter().all(|known| known.container_id != unit.container_id) {
                    event.containers.push(Container { contents: Vec::new(), ..unit.clone() });
                    next.push((unit.container_id.clone(), depth + 1));
                }
            }
        }
    }

    /// The identifiers left the site.
    pub(super) fn ship<'i>(&mut self, ids: impl Iterator<Item = &'i str>) {
        for id in ids {
            if self.shipped.len() < SHIPPED_MAX {
                self.shipped.insert(hash(id));
            }
        }
    }

    /// Whether one of the identifiers has left before.
    pub(super) fn has_shipped<'i>(&self, mut ids: impl Iterator<Item = &'i str>) -> bool {
        ids.any(|id| self.shipped.contains(&hash(id)))
    }

    /// These events of the source take the place of one of ours.
    pub(super) fn correct(&mut self, by: &[String], wrong: Uuid) {
        for id in by {
            if self.corrections.len() < CORRECTIONS_MAX {
                self.corrections.insert(id.clone(), wrong);
            }
        }
    }

    /// The event in whose place this one of the source stands.
    pub(super) fn corrected_by(&self, source_event: &str) -> Option<Uuid> {
        self.corrections.get(source_event).copied()
    }
}

/// The same in every run: the hasher's keys are fixed.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
