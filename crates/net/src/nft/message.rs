//! A transaction on the table, message by message: linux/netfilter/nf_tables.h.

use super::MAKE;
use super::expression::Expression;
use crate::netlink::{APPEND, DUMP, Message};

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;

/// Tables of both families.
const FAMILY_INET: u8 = 1;
const SET_IS_MAP: u32 = 8;
/// Each element is a range, from its key to its end, in every part of the key.
const SET_OF_RANGES: u32 = 4 | 0x80;
/// What nft(8) keeps beside a set to list it: the first entry says that the keys are in the machine's order, as names of links are.
const KEYS_IN_HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};
const POLICY_ACCEPT: u32 = 1;

/// Where a chain hooks in.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// What a chain is for.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Filter,
    Nat,
}

/// Elements in one message, whose list has 64 KiB at most.
const ELEMENTS_MAX: usize = 512;

/// An element of a set, or of a map if it has data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    /// The last key of a range.
    pub(crate) end: Option<Vec<u8>>,
    pub(crate) data: Option<Vec<u8>>,
}

/// A set, or a map if it has data: types for nft(8) to list it by, and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) key_type: u32,
    pub(crate) key_bytes: u32,
    pub(crate) data: Option<(u32, u32)>,
    /// Where the elements are ranges: the bytes of each part of the key.
    pub(crate) range_parts: Vec<u32>,
    /// Whether the key is a number or name in the machine's order.
    pub(crate) host_order: bool,
}

impl Element {
    fn write(&self, list: &mut Message) {
        list.nest(1, |element| {
            element.nest(1, |inner| {
                inner.attribute(1, &self.key);
            });
            if let Some(data) = &self.data {
                element.nest(2, |inner| {
                    inner.attribute(1, data);
                });
            }
            if let Some(end) = &self.end {
                element.nest(10, |inner| {
                    inner.attribute(1, end);
                });
            }
        });
    }
}

/// Changes that are made all at once, or not at all.
pub(crate) struct Batch {
    table: String,
    messages: Vec<Message>,
    sets: u32,
}

/// `struct nfgenmsg`: family, version, and for the ends of a batch the subsystem.
fn head(kind: u16, flags: u16, family: u8, resource: u16) -> Message {
    let mut message = Message::new(kind, flags);
    let [high, low] = resource.to_be_bytes();
    message.raw(&[family, 0, high, low]);
    message
}

impl Batch {
    pub(crate) fn new(table: &str) -> Batch {
        let begin = head(BATCH_BEGIN, 0, 0, SUBSYSTEM >> 8);
        Batch { table: table.to_owned(), messages: vec![begin], sets: 0 }
    }

    fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Message)) {
        let mut message = head(kind, flags, FAMILY_INET, 0);
        message.text(1, &self.table);
        fill(&mut message);
        self.messages.push(message);
    }

    pub(crate) fn table(&mut self) {
        self.push(NEW_TABLE, MAKE, |_| {});
    }

    pub(crate) fn delete_table(&mut self) {
        self.push(DELETE_TABLE, 0, |_| {});
    }

    pub(crate) fn chain(&mut self, name: &str, base: Option<(Kind, Hook, i32)>) {
        self.push(NEW_CHAIN, MAKE, |message| {
            message.text(3, name);
            if let Some((kind, hook, priority)) = base {
                message.nest(4, |inner| {
                    inner.big(1, hook as u32).attribute(2, &priority.to_be_bytes());
                });
                let kind = match kind {
                    Kind::Filter => "filter",
                    Kind::Nat => "nat",
                };
                message.big(5, POLICY_ACCEPT).text(7, kind);
            }
        });
    }

    pub(crate) fn flush_chain(&mut self, name: &str) {
        self.push(DELETE_RULE, 0, |message| {
            message.text(2, name);
        });
    }

    pub(crate) fn rule(&mut self, chain: &str, steps: &[Expression]) {
        self.push(NEW_RULE, MAKE | APPEND, |message| {
            message.text(2, chain).nest(4, |list| steps.iter().for_each(|step| step.write(list)));
        });
    }

    /// How many rules it writes.
    pub(crate) fn rules(&self) -> usize {
        self.messages.iter().filter(|message| message.kind() == NEW_RULE).count()
    }

    /// Asks for all rules of a table.
    pub(crate) fn rules_of(table: &str) -> Message {
        let mut message = head(GET_RULE, DUMP, FAMILY_INET, 0);
        message.text(1, table);
        message
    }

    pub(crate) fn set(&mut self, name: &str, shape: &Shape) {
        self.sets += 1;
        let number = self.sets;
        self.push(NEW_SET, MAKE, |message| {
            let mut flags = 0;
            if shape.data.is_some() {
                flags |= SET_IS_MAP;
            }
            if !shape.range_parts.is_empty() {
                flags |= SET_OF_RANGES;
            }
            message.text(2, name).big(3, flags).big(4, shape.key_type).big(5, shape.key_bytes);
            if let Some((data, bytes)) = shape.data {
                message.big(6, data).big(7, bytes);
            }
            message.big(10, number);
            if !shape.range_parts.is_empty() {
                message.nest(9, |description| {
                    description.nest(2, |parts| {
                        for bytes in &shape.range_parts {
                            parts.nest(1, |part| {
                                part.big(1, *bytes);
                            });
                        }
                    });
                });
            }
            if shape.host_order {
                message.attribute(13, &KEYS_IN_HOST_ORDER);
            }
        });
    }

    fn elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_MAX) {
            self.push(kind, flags, |message| {
                message.text(2, set).nest(3, |list| chunk.iter().for_each(|element| element.write(list)));
            });
        }
    }

    pub(crate) fn add(&mut self, set: &str, elements: &[Element]) {
        self.elements(NEW_ELEMENT, MAKE, set, elements);
    }

    pub(crate) fn remove(&mut self, set: &str, elements: &[Element]) {
        self.elements(DELETE_ELEMENT, 0, set, elements);
    }

    /// Removes all elements of a set.
    pub(crate) fn empty(&mut self, set: &str) {
        self.push(DELETE_ELEMENT, 0, |message| {
            message.text(2, set);
        });
    }

    /// All messages, with the end of the transaction. The last one that changes something asks for the answer.
    pub(crate) fn finish(mut self) -> Vec<Message> {
        if let [_, .., last] = self.messages.as_mut_slice() {
            last.acknowledged();
        }
        self.messages.push(head(BATCH_END, 0, 0, SUBSYSTEM >> 8));
        self.messages
    }
}
