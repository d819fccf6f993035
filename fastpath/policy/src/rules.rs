//! Rules.
use crate::decision::Edit;
use crate::json::Tree;
use crate::steer::Arm;
use dpu_types::{Endpoint, Refusal};
use std::borrow::Cow;
use std::marker::PhantomData;

pub(crate) struct Fields<'t>(PhantomData<&'t ()>);
pub(crate) struct Normalised { pub(crate) stream: bool, pub(crate) include_usage: bool, pub(crate) token_budget: u32, pub(crate) body: Vec<u8>, pub(crate) edits: Vec<Edit> }
pub(crate) struct Key;
impl Key { pub(crate) fn bytes(&self) -> &[u8] { b"" } }
impl<'t> Fields<'t> {
    pub(crate) fn of(_tree: &'t Tree, _endpoint: Endpoint) -> Result<Self, Refusal> { Ok(Self(PhantomData)) }
    pub(crate) fn model(&self) -> Result<Cow<'t, str>, Refusal> { Ok("".into()) }
    pub(crate) fn conversation_key(&self, _header: Option<&[u8]>) -> Key { Key }
    pub(crate) fn normalise(&self, _arm: &Arm, _alias: bool, _key: Key) -> Result<Normalised, Refusal> {
        Ok(Normalised { stream: false, include_usage: false, token_budget: 0, body: vec![], edits: vec![] })
    }
}
