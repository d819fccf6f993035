//! The echo engine: one small struct a stream, stepped by the worker's thread. No clock, no I/O.

use super::echo_embed;
use super::echo_text::Part;
use dpu_types::gen::worker_frame::{FLAG_REQUEST_COMPLETIONS, FLAG_REQUEST_EMBEDDINGS, FLAG_REQUEST_STREAM};
use dpu_types::{MonoNs, Reason};
use dpu_ucx::{OwnedRequest, Summary};

/// What is to be done next for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time.
    Sleep(MonoNs),
    /// Send a fragment, then `advance`.
    Tokens { count: u32, choices: Vec<u8>, finish: bool },
    /// Send END: over.
    End(Summary),
    /// Send RESULT: over.
    Result(Summary, Vec<u8>),
    /// Send FAIL: over.
    Fail(Reason, &'static str),
}

/// One stream.
#[derive(Debug)]
pub struct Echo {
    /// The engine's name of it, for metrics.
    pub model: String,
    part: Part,
    /// How many say the same.
    choices: u32,
    /// The whole answer of an embeddings request.
    data: Option<Vec<u8>>,
    flags: u16,
    limit: u32,
    said: u32,
    finish_said: bool,
    started: MonoNs,
    deadline: MonoNs,
    queue_us: u64,
}

impl Echo {
    /// Reads the request.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn new(request: &OwnedRequest, now: MonoNs, queue_us: u64) -> Result<Self, String> {
        if request.flags & FLAG_REQUEST_EMBEDDINGS != 0 {
            return Self::embed(request, now, queue_us);
        }
        Ok(Self::say(Part::read(&request.body)?, request, now, queue_us))
    }

    fn embed(request: &OwnedRequest, now: MonoNs, queue_us: u64) -> Result<Self, String> {
        let (data, prompt_tokens) = echo_embed::answer(&request.body)?;
        let mut part = Part::default();
        part.prompt_tokens = prompt_tokens;
        Ok(Self { data: Some(data), ..Self::say(part, request, now, queue_us) })
    }

    fn say(part: Part, request: &OwnedRequest, now: MonoNs, queue_us: u64) -> Self {
        let budget = (request.token_budget > 0).then_some(request.token_budget);
        let choices = part.choices.max(1);
        // The budget is for all choices together.
        let budget = budget.map(|budget| budget / choices);
        let bounds = [part.max_tokens, budget].into_iter().flatten().filter(|_| !part.ignores_budget);
        let bound = bounds.min().unwrap_or(u32::MAX);
        Self {
            model: String::new(),
            limit: part.tokens().min(bound),
            part,
            choices,
            data: None,
            flags: request.flags,
            said: 0,
            finish_said: false,
            started: now,
            deadline: now.plus_ms(request.deadline_ms.into()),
            queue_us,
        }
    }

    /// What to do now.
    pub fn step(&self, now: MonoNs) -> Step {
        if let Some(data) = &self.data {
            return Step::Result(self.summary(now), data.clone());
        }
        if self.flags & FLAG_REQUEST_STREAM == 0 {
            return self.step_whole(now);
        }
        if let Some(stop) = self.stop_at(self.said, now) {
            return stop;
        }
        if self.said == self.limit {
            return if self.finish_said { Step::End(self.summary(now)) } else { self.finish_step() };
        }
        let due = self.due(self.said + 1);
        if now < due {
            return Step::Sleep(due);
        }
        let choices = self.choices(&self.part.text(self.said, self.said + 1), None);
        Step::Tokens { count: self.choices, choices, finish: false }
    }

    /// The last fragment was sent.
    pub fn advance(&mut self) {
        if self.said < self.limit {
            self.said += 1;
        } else {
            self.finish_said = true;
        }
    }

    fn step_whole(&self, now: MonoNs) -> Step {
        let reach = [self.part.fail_after, self.part.hang_after].into_iter().flatten().min();
        let reach = reach.map_or(self.limit, |reach| reach.min(self.limit));
        let due = self.due(reach);
        if now < due {
            return Step::Sleep(due);
        }
        if let Some(stop) = self.stop_at(reach, now) {
            return stop;
        }
        let choices = self.choices(&self.part.text(0, self.limit), Some(self.finish()));
        Step::Result(Summary { completion_tokens: self.limit * self.choices, ..self.summary(now) }, choices)
    }

    /// Where the script stops before its end.
    fn stop_at(&self, said: u32, now: MonoNs) -> Option<Step> {
        if self.part.fail_after == Some(said) {
            return Some(Step::Fail(Reason::WorkerFailed, "the script says so"));
        }
        if self.part.hang_after != Some(said) {
            return None;
        }
        if now < self.deadline {
            return Some(Step::Sleep(self.deadline));
        }
        Some(Step::Fail(Reason::WorkerTimeout, "the deadline passed"))
    }

    fn finish_step(&self) -> Step {
        Step::Tokens { count: 0, choices: self.choices("", Some(self.finish())), finish: true }
    }

    /// When token number `n` (from 1) may be said.
    fn due(&self, n: u32) -> MonoNs {
        self.started.plus_ms(self.part.prefill_ms.saturating_add(self.part.delay_ms.saturating_mul(n.into())))
    }

    fn finish(&self) -> &'static str {
        if self.limit < self.part.tokens() {
            "length"
        } else {
            "stop"
        }
    }

    fn summary(&self, now: MonoNs) -> Summary {
        let first = self.due(1.min(self.limit));
        Summary {
            finish: self.finish().to_owned(),
            prompt_tokens: self.part.prompt_tokens,
            cached_tokens: 0,
            completion_tokens: self.said * self.choices,
            queue_us: self.queue_us,
            prefill_us: first.since(self.started) / 1000,
            decode_us: now.since(first) / 1000,
        }
    }

    /// The `choices` of one chunk, or of a whole answer: what OpenAI sends, on one line.
    fn choices(&self, text: &str, finish: Option<&str>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.choices as usize * (text.len() + 96));
        for index in 0..self.choices {
            self.put_choice(&mut out, index, text, finish);
        }
        out.push(b']');
        out
    }

    fn put_choice(&self, out: &mut Vec<u8>, index: u32, text: &str, finish: Option<&str>) {
        let completions = self.flags & FLAG_REQUEST_COMPLETIONS != 0;
        let whole = self.flags & FLAG_REQUEST_STREAM == 0;
        let body = match (completions, whole) {
            (true, _) => r#""text":"#,
            (false, true) => r#""message":{"role":"assistant","content":"#,
            (false, false) if finish.is_some() => r#""delta":{"#,
            (false, false) if self.said == 0 => r#""delta":{"role":"assistant","content":"#,
            (false, false) => r#""delta":{"content":"#,
        };
        let open = if index == 0 { '[' } else { ',' };
        out.extend_from_slice(format!(r#"{open}{{"index":{index},"#).as_bytes());
        out.extend_from_slice(body.as_bytes());
        if completions || whole || finish.is_none() {
            // A str always serialises, and a Vec always takes it.
            let _ = serde_json::to_writer(&mut *out, text);
        }
        out.extend_from_slice(if completions { br#","logprobs":null"#.as_slice() } else { b"}" });
        match finish {
            Some(finish) => out.extend_from_slice(format!(r#","finish_reason":"{finish}"}}"#).as_bytes()),
            None => out.extend_from_slice(br#","finish_reason":null}"#),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;
    use dpu_types::RequestId;

    fn request(body: &str, flags: u16, token_budget: u32) -> OwnedRequest {
        OwnedRequest {
            id: RequestId([1; 16]),
            flags,
            deadline_ms: 1000,
            priority: 0,
            epoch: 1,
            token_budget,
            tenant_hash: [0; 16],
            receipt_sha256: [0; 32],
            receipt_edits: 0,
            arm: "stable".to_owned(),
            model: "chat".to_owned(),
            trace: dpu_types::Trace::default(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    /// Every step with the time at which it came, sleeping as told.
    fn play(body: &str, flags: u16, budget: u32) -> Vec<(u64, Step)> {
        let mut echo = Echo::new(&request(body, flags, budget), MonoNs(0), 3).unwrap();
        let (mut now, mut seen) = (MonoNs(0), Vec::new());
        loop {
            let step = echo.step(now);
            match step {
                Step::Sleep(until) => now = until,
                Step::Tokens { .. } => {
                    seen.push((now.0 / 1_000_000, step));
                    echo.advance();
                }
                _ => {
                    seen.push((now.0 / 1_000_000, step));
                    return seen;
                }
            }
        }
    }

    fn texts(steps: &[(u64, Step)]) -> Vec<(u64, String)> {
        let texts = steps.iter().filter_map(|(at, step)| match step {
            Step::Tokens { choices, .. } => Some((*at, String::from_utf8(choices.clone()).unwrap())),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn a_chat_comes_back_word_by_word() {
        let steps = play(r#"{"messages":[{"role":"user","content":"Hi \"you\""}]}"#, FLAG_REQUEST_STREAM, 0);
        let expected = [
            r#"[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]"#,
            r#"[{"index":0,"delta":{"content":" \"you\""},"finish_reason":null}]"#,
            r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#,
        ];
        assert_eq!(texts(&steps).iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), expected);
        let Step::End(summary) = &steps[3].1 else { unreachable!() };
        assert_eq!((summary.prompt_tokens, summary.completion_tokens, summary.queue_us), (2, 2, 3));
    }

    #[test]
    fn a_text_completion_has_the_shape_of_its_endpoint() {
        let flags = FLAG_REQUEST_STREAM | FLAG_REQUEST_COMPLETIONS;
        let steps = texts(&play(r#"{"prompt":"Hi"}"#, flags, 0));
        assert_eq!(steps[0].1, r#"[{"index":0,"text":"Hi","logprobs":null,"finish_reason":null}]"#);
        assert_eq!(steps[1].1, r#"[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]"#);
    }

    #[test]
    fn a_whole_answer_comes_at_once() {
        let steps = play(r#"{"messages":[{"role":"user","content":"a b c"}]}"#, 0, 2);
        let Step::Result(summary, choices) = &steps[0].1 else { unreachable!() };
        let expected =
            r#"[{"index":0,"message":{"role":"assistant","content":"a b"},"finish_reason":"length"}]"#;
        assert_eq!(std::str::from_utf8(choices).unwrap(), expected);
        assert_eq!((summary.completion_tokens, summary.finish.as_str()), (2, "length"));
    }

    #[test]
    fn several_choices_say_the_same_within_one_budget() {
        let steps = play(r#"{"prompt":"a b c","n":2}"#, FLAG_REQUEST_STREAM | FLAG_REQUEST_COMPLETIONS, 4);
        let expected = concat!(
            r#"[{"index":0,"text":"a","logprobs":null,"finish_reason":null},"#,
            r#"{"index":1,"text":"a","logprobs":null,"finish_reason":null}]"#
        );
        assert_eq!(texts(&steps)[0].1, expected);
        assert!(matches!(steps[0].1, Step::Tokens { count: 2, .. }));
        let Step::End(summary) = &steps.last().unwrap().1 else { unreachable!() };
        assert_eq!((summary.completion_tokens, summary.finish.as_str()), (4, "length"));
        let whole = play(r#"{"messages":[{"role":"user","content":"a"}],"n":3}"#, 0, 0);
        let Step::Result(summary, choices) = &whole[0].1 else { unreachable!() };
        let choices: Vec<serde_json::Value> = serde_json::from_slice(choices).unwrap();
        assert_eq!((summary.completion_tokens, choices.len(), choices[2]["index"].as_u64()), (3, 3, Some(2)));
    }

    #[test]
    fn a_script_keeps_its_times() {
        let steps = play(r#"{"prompt":"!echo tokens=2 delay_ms=5 prefill_ms=20"}"#, FLAG_REQUEST_STREAM, 0);
        assert_eq!(steps.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [25, 30, 30, 30]);
        let Step::End(summary) = &steps[3].1 else { unreachable!() };
        assert_eq!((summary.prefill_us, summary.decode_us), (25_000, 5_000));
    }

    #[test]
    fn a_script_fails_and_hangs_where_it_says() {
        for flags in [FLAG_REQUEST_STREAM, 0] {
            let failed = play(r#"{"prompt":"!echo tokens=5 fail_after=2"}"#, flags, 0);
            assert_eq!(failed.last().unwrap().1, Step::Fail(Reason::WorkerFailed, "the script says so"));
            let hung = play(r#"{"prompt":"!echo tokens=5 hang_after=0"}"#, flags, 0);
            assert_eq!(hung, [(1000, Step::Fail(Reason::WorkerTimeout, "the deadline passed"))]);
        }
    }

    #[test]
    fn a_script_can_ignore_its_bounds() {
        let body = r#"{"prompt":"!echo tokens=9 ignore_budget=1","max_tokens":3}"#;
        let steps = play(body, FLAG_REQUEST_STREAM, 2);
        assert_eq!(steps.iter().filter(|(_, step)| matches!(step, Step::Tokens { count: 1, .. })).count(), 9);
    }

    #[test]
    fn the_token_budget_ends_a_stream_with_length() {
        let steps = play(r#"{"prompt":"a b c","max_tokens":3}"#, FLAG_REQUEST_STREAM, 1);
        assert!(texts(&steps).last().unwrap().1.contains(r#""finish_reason":"length""#));
    }
}
