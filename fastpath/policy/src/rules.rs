//! Normalisation: one pass over a body's fields, driven by one table of rules per endpoint.
//!
//! What no rule names is refused; what a rule keeps is written in canonical form. Prompts are never rewritten.

mod budget;
mod content;
mod conversation;
mod input;
mod kind;
mod logit_bias;
mod logprobs;
mod messages;
mod refuse;
mod response_format;
mod stop;
mod stream;
pub mod table;
mod tools;

use crate::decision::Edit;
use crate::json::{canonical, Object, Tree, Value};
use crate::steer::Arm;
use budget::Budget;
use dpu_types::{Endpoint, Reason, Refusal};
use refuse::{missing, unknown, wrong_type};
use std::borrow::Cow;
use table::{Action, Rule, Table};

/// The fields of a body, before anything is known about the model.
pub(crate) struct Fields<'t> {
    table: &'static Table,
    object: Object<'t>,
    bytes: usize,
}

/// Fields that an engine reads as prompt.
const PROMPT_FIELDS: [&str; 6] = ["messages", "prompt", "input", "tools", "response_format", "suffix"];

/// What the rules made of a body.
pub(crate) struct Normalised {
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// Completion tokens of one choice at most; 0 where none are made.
    pub(crate) tokens: u32,
    pub(crate) choices: u32,
    /// Bytes of the prompt in canonical form, for its estimate in tokens.
    pub(crate) prompt_bytes: usize,
    pub(crate) body: Vec<u8>,
    pub(crate) edits: Vec<Edit>,
}

impl<'t> Fields<'t> {
    /// The body has to be an object, and the endpoint one that takes it.
    pub(crate) fn of(tree: &'t Tree<'t>, endpoint: Endpoint) -> Result<Self, Refusal> {
        let table = table::of(endpoint).ok_or(Reason::HttpNotFound)?;
        let object = tree.root().object();
        let object =
            object.ok_or_else(|| Refusal::from(Reason::FieldType).because("the body must be an object"))?;
        Ok(Self { table, object, bytes: tree.text_bytes() })
    }

    /// The model that is asked for.
    pub(crate) fn model(&self) -> Result<Cow<'t, str>, Refusal> {
        self.required("model")?.text().ok_or_else(|| wrong_type("model", "a string"))
    }

    /// The hash of the conversation (see [`crate::bucket_of`]).
    pub(crate) fn conversation(&self, tenant: &str, header: Option<&[u8]>) -> u64 {
        conversation::hash(tenant, header, self.object.get("user"), self.object.get(self.table.content))
    }

    /// Applies the table for an arm: the body that its engine gets, and what was changed.
    pub(crate) fn normalise(&self, arm: &Arm, alias: bool) -> Result<Normalised, Refusal> {
        self.required(self.table.content)?;
        let budget = self.table.generates.then(|| Budget::of(self.object, arm)).transpose()?;
        let stream = stream::of(self.object)?;
        let room = self.bytes + arm.engine_model_json.len() + 32;
        let mut pass =
            Pass { arm, alias, budget, out: Vec::with_capacity(room), edits: Vec::new(), prompt_bytes: 0 };
        pass.run(self.table, self.object)?;
        logprobs::check(self.object)?;
        let Pass { out: body, edits, prompt_bytes, .. } = pass;
        Ok(Normalised {
            stream: stream.wanted,
            include_usage: stream.include_usage,
            tokens: budget.map_or(0, |budget| budget.tokens),
            choices: budget.map_or(1, |budget| budget.choices),
            prompt_bytes,
            body,
            edits,
        })
    }

    fn required(&self, name: &'static str) -> Result<Value<'t>, Refusal> {
        self.object.get(name).ok_or_else(|| missing(name))
    }
}

/// The pass over the fields in their canonical order, writing as it goes.
struct Pass<'p> {
    arm: &'p Arm,
    alias: bool,
    /// Taken when it is written.
    budget: Option<Budget>,
    out: Vec<u8>,
    edits: Vec<Edit>,
    prompt_bytes: usize,
}

impl Pass<'_> {
    fn run(&mut self, table: &'static Table, object: Object<'_>) -> Result<(), Refusal> {
        self.out.push(b'{');
        for (name, value) in object.entries() {
            let rule = table.rule(name).ok_or_else(|| unknown(name))?;
            if rule.name > budget::FIELD {
                self.write_budget();
            }
            self.apply(rule, value)?;
        }
        self.write_budget();
        self.out.push(b'}');
        Ok(())
    }

    fn apply(&mut self, rule: &'static Rule, value: Value<'_>) -> Result<(), Refusal> {
        if rule.nullable && value.is_null() {
            self.edit(rule.name, "null");
            return Ok(());
        }
        rule.kind.check(rule.name, value)?;
        match rule.action {
            Action::Keep => {
                let before = self.out.len();
                self.write_value(rule.name, value);
                // Tools and schemas go through the template into the prompt, as the messages do.
                if PROMPT_FIELDS.contains(&rule.name) {
                    self.prompt_bytes += self.out.len() - before;
                }
            }
            Action::Drop(what) => self.edit(rule.name, what),
            Action::Model => self.write_model(rule.name, value),
            // Written in its place by `write_budget`, whichever field it came from.
            Action::Budget => {}
        }
        Ok(())
    }

    fn write_value(&mut self, name: &str, value: Value<'_>) {
        self.write_name(name);
        canonical::write_value(&mut self.out, value);
    }

    fn write_model(&mut self, name: &'static str, asked: Value<'_>) {
        let arm = self.arm;
        self.write_name(name);
        self.out.extend_from_slice(&arm.engine_model_json);
        if self.alias {
            self.edit(name, "alias");
        } else if asked.text().as_deref() != Some(&*arm.engine_model) {
            self.edit(name, "engine_name");
        }
    }

    fn write_budget(&mut self) {
        let Some(budget) = self.budget.take() else { return };
        self.write_name(budget::FIELD);
        canonical::write_integer(&mut self.out, i64::from(budget.tokens));
        self.edits.extend(budget.edits());
    }

    fn write_name(&mut self, name: &str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        // Names in the tables are plain ASCII: they are their own canonical form.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn edit(&mut self, field: &'static str, what: &'static str) {
        self.edits.push(Edit { field, what });
    }
}

#[cfg(test)]
mod tests;
