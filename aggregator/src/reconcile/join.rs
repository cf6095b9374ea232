//! Two sides in the order of their items, one item at a time: memory does not grow with the number of balances.

use std::collections::BTreeMap;

use rusqlite::{Row, Rows};

use super::error::{ReconcileError, sql};

/// Rows of one side, grouped by item; the rows come in the order of the item.
pub(super) struct Groups<'s, T, F: FnMut(&Row<'_>) -> Result<(String, T), rusqlite::Error>> {
    rows: Rows<'s>,
    read: F,
    next: Option<(String, T)>,
}

impl<'s, T, F: FnMut(&Row<'_>) -> Result<(String, T), rusqlite::Error>> Groups<'s, T, F> {
    pub(super) fn new(rows: Rows<'s>, read: F) -> Result<Self, ReconcileError> {
        let mut groups = Self { rows, read, next: None };
        groups.next = groups.row()?;
        Ok(groups)
    }

    fn row(&mut self) -> Result<Option<(String, T)>, ReconcileError> {
        match self.rows.next().map_err(sql("read balances"))? {
            Some(row) => (self.read)(row).map(Some).map_err(sql("read balances")),
            None => Ok(None),
        }
    }

    fn peek(&self) -> Option<&str> {
        self.next.as_ref().map(|(item, _)| item.as_str())
    }

    fn take(&mut self) -> Result<Option<(String, Vec<T>)>, ReconcileError> {
        let Some((item, first)) = self.next.take() else { return Ok(None) };
        let mut all = vec![first];
        loop {
            match self.row()? {
                Some((next, value)) if next == item => all.push(value),
                other => {
                    self.next = other;
                    return Ok(Some((item, all)));
                }
            }
        }
    }
}

/// Calls `each` for every item of both sides. Items that `renamed` names on the left belong to another item on the right, and are
/// handed over last, all of one item together.
pub(super) fn join<L, R, FL, FR>(
    mut left: Groups<'_, L, FL>,
    mut right: Groups<'_, R, FR>,
    renamed: &BTreeMap<String, String>,
    mut each: impl FnMut(&str, Vec<L>, Vec<R>) -> Result<(), ReconcileError>,
) -> Result<(), ReconcileError>
where
    FL: FnMut(&Row<'_>) -> Result<(String, L), rusqlite::Error>,
    FR: FnMut(&Row<'_>) -> Result<(String, R), rusqlite::Error>,
{
    let mut aside: BTreeMap<String, (Vec<L>, Vec<R>)> =
        renamed.values().map(|to| (to.clone(), (Vec::new(), Vec::new()))).collect();
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(l), Some(r)) => l.cmp(r),
        };
        let ours = if order.is_le() { left.take()? } else { None };
        let theirs = if order.is_ge() { right.take()? } else { None };
        let theirs = match theirs {
            Some((item, rows)) => match aside.get_mut(&item) {
                Some((_, kept)) => {
                    kept.extend(rows);
                    None
                }
                None => Some((item, rows)),
            },
            None => None,
        };
        let ours = match ours {
            Some((sku, rows)) => match renamed.get(&sku).or_else(|| aside.contains_key(&sku).then_some(&sku)) {
                Some(to) => {
                    if let Some((kept, _)) = aside.get_mut(to) {
                        kept.extend(rows);
                    }
                    None
                }
                None => Some((sku, rows)),
            },
            None => None,
        };
        match (ours, theirs) {
            (None, None) => {}
            (Some((item, l)), None) => each(&item, l, Vec::new())?,
            (None, Some((item, r))) => each(&item, Vec::new(), r)?,
            (Some((item, l)), Some((_, r))) => each(&item, l, r)?,
        }
    }
    for (item, (l, r)) in aside {
        if !l.is_empty() || !r.is_empty() {
            each(&item, l, r)?;
        }
    }
    Ok(())
}
