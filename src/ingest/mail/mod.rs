//! Mail: of each message, only what the person wrote in it.
//!
//! A message is taken apart into lines that know how deep they are quoted, from plain text or from
//! HTML. What others wrote is told by quote marks, by the markup of the mail programs, and by the
//! lines that introduce a quote or a forwarded message; then signatures and footers go. Nothing
//! here knows the store or the folders that messages lie in.

pub(super) mod addresses;
mod armour;
mod attribution;
mod boilerplate;
mod header;
mod html;
mod line;
mod markup;
pub(super) mod mbox;
pub(super) mod message;
mod mime;
mod patch;
mod plain;
mod quote;
mod reply_header;
mod signature;
mod subject;
mod tag;
mod transfer;
