//! Walks the tree with the data.

use std::{borrow::Cow, ops::Range};

use serde_json::{Number, Value};

use super::{
    MissingKey, Options, TemplateError,
    functions::{self, Blame, CallError},
    parser::{Branch, Command, Node, Operand, OperandKind, Pipeline},
    position, print,
};

/// The most nodes and commands that one execution may visit.
const MOST_STEPS: usize = 1_000_000;
/// The most bytes that one execution may write.
const MOST_OUTPUT: usize = 64 << 20;

/// A value of the data, or one computed.
type Datum<'d> = Cow<'d, Value>;

/// What a list of nodes ended with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// The text of `nodes`, parsed from `source`, for `data`.
pub(super) fn execute(
    source: &str,
    nodes: &[Node],
    data: &Value,
    options: Options<'_>,
) -> Result<String, TemplateError> {
    let mut execution = Execution {
        source,
        options,
        variables: vec![("$", Cow::Borrowed(data))],
        output: String::new(),
        steps: 0,
    };
    execution.list(nodes, &Cow::Borrowed(data))?;
    Ok(execution.output)
}

struct Execution<'t, 'd, 'm> {
    source: &'t str,
    options: Options<'m>,
    /// Innermost last.
    variables: Vec<(&'t str, Datum<'d>)>,
    output: String,
    steps: usize,
}

impl<'t, 'd> Execution<'t, 'd, '_> {
    fn error(
        &self,
        start: usize,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> TemplateError {
        let (line, column) = position(self.source, start);
        TemplateError::Execute {
            line,
            column,
            at: self.source.get(span.clone()).unwrap_or_default().to_owned(),
            message: message.into(),
            known: Vec::new(),
        }
    }

    fn step(&mut self, span: &Range<usize>) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(self.error(span.start, span, "the template takes too many steps"));
        }
        Ok(())
    }

    fn list(&mut self, nodes: &'t [Node], dot: &Datum<'d>) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                self.variables.truncate(scope);
                return Ok(flow);
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'t Node, dot: &Datum<'d>) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    print::print(&mut self.output, &value);
                }
                if self.output.len() > MOST_OUTPUT {
                    let span = &pipeline.commands[0].span;
                    return Err(self.error(span.start, span, "the output is too long"));
                }
            }
            Node::If(branch) => return self.choose(branch, dot, false),
            Node::With(branch) => return self.choose(branch, dot, true),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// `if`, or `with`, which makes the value the dot of its body.
    fn choose(
        &mut self,
        branch: &'t Branch,
        dot: &Datum<'d>,
        with: bool,
    ) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = match (functions::truth(&value), with) {
            (true, true) => self.list(&branch.body, &value),
            (true, false) => self.list(&branch.body, dot),
            (false, _) => self.list(&branch.otherwise, dot),
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &'t Branch, dot: &Datum<'d>) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let Branch {
            pipeline,
            body,
            otherwise,
        } = branch;
        let value = self.commands(pipeline, dot)?;
        let entries = entries(&value).ok_or_else(|| {
            let span = &pipeline.commands[0].span;
            let shown = print::shown(&value);
            self.error(
                span.start,
                span,
                format!("range can't iterate over {shown}"),
            )
        })?;
        if entries.is_empty() {
            return self.list(otherwise, dot);
        }
        for (key, item) in entries {
            self.step(&pipeline.commands[0].span)?;
            match pipeline.variables.as_slice() {
                [] => {}
                [only] => self.bind(only, item.clone(), pipeline.assigns),
                [first, second, ..] => {
                    self.bind(first, Cow::Owned(key), pipeline.assigns);
                    self.bind(second, item.clone(), pipeline.assigns);
                }
            }
            let flow = self.list(body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// Declare a variable, or give a known one another value.
    fn bind(&mut self, name: &'t str, value: Datum<'d>, assigns: bool) {
        let known = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| *known == name);
        match known {
            Some((_, place)) if assigns => *place = value,
            _ => self.variables.push((name, value)),
        }
    }

    /// The value of a pipeline, bound to its variables.
    fn pipeline(
        &mut self,
        pipeline: &'t Pipeline,
        dot: &Datum<'d>,
    ) -> Result<Datum<'d>, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.bind(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn commands(
        &mut self,
        pipeline: &'t Pipeline,
        dot: &Datum<'d>,
    ) -> Result<Datum<'d>, TemplateError> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Cow::Owned(Value::Null)))
    }

    /// One command; `last` is what the command before it in the pipeline made.
    fn command(
        &mut self,
        command: &'t Command,
        dot: &Datum<'d>,
        last: Option<Datum<'d>>,
    ) -> Result<Datum<'d>, TemplateError> {
        self.step(&command.span)?;
        let Some((first, arguments)) = command.operands.split_first() else {
            return Ok(Cow::Owned(Value::Null));
        };
        if let OperandKind::Function(name) = &first.kind {
            let value = match name.as_str() {
                "and" | "or" => self.short_circuit(name, command, dot, last)?,
                _ => self.call(name, command, dot, last)?,
            };
            return self.fields(value, &first.fields, first);
        }
        if !arguments.is_empty() || last.is_some() {
            return self.method(command, dot, last);
        }
        match first.kind {
            OperandKind::Nil => Err(self.error(first.at, &first.span, "nil is not a command")),
            _ => self.operand(first, dot),
        }
    }

    fn operand(
        &mut self,
        operand: &'t Operand,
        dot: &Datum<'d>,
    ) -> Result<Datum<'d>, TemplateError> {
        let value = self.operand_value(operand, dot)?;
        self.fields(value, &operand.fields, operand)
    }

    /// The value of a word without its fields.
    fn operand_value(
        &mut self,
        operand: &'t Operand,
        dot: &Datum<'d>,
    ) -> Result<Datum<'d>, TemplateError> {
        Ok(match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => Cow::Owned(Value::Null),
            OperandKind::Bool(flag) => Cow::Owned(Value::Bool(*flag)),
            OperandKind::Integer(number) => Cow::Owned(Value::from(*number)),
            OperandKind::Float(number) => {
                Cow::Owned(Number::from_f64(*number).map_or(Value::Null, Value::Number))
            }
            OperandKind::String(text) => Cow::Owned(Value::String(text.clone())),
            OperandKind::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                match found {
                    Some((_, value)) => value.clone(),
                    None => {
                        let message = format!("undefined variable: {name}");
                        return Err(self.error(operand.at, &operand.span, message));
                    }
                }
            }
            OperandKind::Function(name) => {
                let value = functions::call(name, &[]);
                Cow::Owned(
                    value.map_err(|error| self.error(operand.at, &operand.span, error.message))?,
                )
            }
            OperandKind::Pipeline(pipeline) => {
                let scope = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                self.variables.truncate(scope);
                value
            }
        })
    }

    /// The field of the field … of `value`.
    fn fields(
        &self,
        value: Datum<'d>,
        fields: &[String],
        operand: &Operand,
    ) -> Result<Datum<'d>, TemplateError> {
        let mut value = value;
        for (index, name) in fields.iter().enumerate() {
            value = self.field(&value, name, (operand, index))?;
        }
        Ok(value)
    }

    fn field(
        &self,
        value: &Datum<'d>,
        name: &str,
        (operand, index): (&Operand, usize),
    ) -> Result<Datum<'d>, TemplateError> {
        let found = match value {
            Cow::Borrowed(Value::Object(map)) => map.get(name).map(Cow::Borrowed),
            Cow::Owned(Value::Object(map)) => map.get(name).cloned().map(Cow::Owned),
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        let message = match &**value {
            Value::Object(_) | Value::Null if self.options.missing == MissingKey::NoValue => {
                return Ok(Cow::Owned(Value::Null));
            }
            Value::Object(_) => format!("map has no entry for key {name:?}"),
            Value::Null if index == 0 => format!("nil data; no entry for key {name:?}"),
            Value::Null => format!("nil pointer evaluating interface {{}}.{name}"),
            other => {
                let kind = print::type_name(other);
                format!("can't evaluate field {name} in type {kind}")
            }
        };
        let mut error = self.error(operand.at, &operand.span, message);
        if let (TemplateError::Execute { known, .. }, Value::Object(map)) = (&mut error, &**value) {
            *known = map.keys().cloned().collect();
        }
        Err(error)
    }

    /// The values of all arguments, what comes through the pipe last.
    fn arguments(
        &mut self,
        operands: &'t [Operand],
        dot: &Datum<'d>,
        last: Option<Datum<'d>>,
    ) -> Result<Vec<Datum<'d>>, TemplateError> {
        let mut values = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            values.push(self.operand(operand, dot)?);
        }
        values.extend(last);
        Ok(values)
    }

    fn call(
        &mut self,
        name: &str,
        command: &'t Command,
        dot: &Datum<'d>,
        last: Option<Datum<'d>>,
    ) -> Result<Datum<'d>, TemplateError> {
        let arguments = self.arguments(&command.operands[1..], dot, last)?;
        let values: Vec<&Value> = arguments.iter().map(|value| &**value).collect();
        functions::call(name, &values)
            .map(Cow::Owned)
            .map_err(|error| self.call_error(error, command))
    }

    fn call_error(&self, error: CallError, command: &Command) -> TemplateError {
        let operand = match error.blame {
            Blame::Call => return self.error(command.span.start, &command.span, error.message),
            Blame::Name => command.operands.first(),
            // What comes through the pipe has no place of its own.
            Blame::Argument(index) => command.operands.get(index + 1).or(command.operands.first()),
        };
        let (at, span) = match operand {
            Some(operand) => (operand.at, &operand.span),
            None => (command.span.start, &command.span),
        };
        self.error(at, span, error.message)
    }

    /// `and` and `or`, which stop at the first value that decides.
    fn short_circuit(
        &mut self,
        name: &str,
        command: &'t Command,
        dot: &Datum<'d>,
        last: Option<Datum<'d>>,
    ) -> Result<Datum<'d>, TemplateError> {
        let mut result = None;
        for operand in &command.operands[1..] {
            let value = self.operand(operand, dot)?;
            if functions::truth(&value) == (name == "or") {
                return Ok(value);
            }
            result = Some(value);
        }
        last.or(result).ok_or_else(|| {
            let message = format!("wrong number of args for {name}: want at least 1 got 0");
            self.error(command.span.start, &command.operands[0].span, message)
        })
    }

    /// A value with arguments: `.Label "key"`.
    fn method(
        &mut self,
        command: &'t Command,
        dot: &Datum<'d>,
        last: Option<Datum<'d>>,
    ) -> Result<Datum<'d>, TemplateError> {
        let first = &command.operands[0];
        let Some((name, before)) = first.fields.split_last() else {
            let text = self.source.get(first.span.clone()).unwrap_or_default();
            let message = format!("can't give argument to non-function {text}");
            return Err(self.error(first.at, &first.span, message));
        };
        let receiver = self.operand_value(first, dot)?;
        let receiver = self.fields(receiver, before, first)?;
        let arguments = self.arguments(&command.operands[1..], dot, last)?;
        let arguments: Vec<Value> = arguments.into_iter().map(Cow::into_owned).collect();
        let value = self
            .options
            .method
            .and_then(|method| method(&receiver, name, &arguments));
        value.map(Cow::Owned).ok_or_else(|| {
            let message = format!("{name} is not a method but has arguments");
            self.error(first.at, &first.span, message)
        })
    }
}

/// What `range` goes through: positions and elements, or keys in order and values; `None` when
/// `value` is neither a list nor a map.
fn entries<'d>(value: &Datum<'d>) -> Option<Vec<(Value, Datum<'d>)>> {
    let key = |index: usize| Value::from(index);
    Some(match value {
        Cow::Borrowed(Value::Array(items)) => {
            let items = items.iter().enumerate();
            items
                .map(|(index, item)| (key(index), Cow::Borrowed(item)))
                .collect()
        }
        Cow::Owned(Value::Array(items)) => {
            let items = items.iter().cloned().enumerate();
            items
                .map(|(index, item)| (key(index), Cow::Owned(item)))
                .collect()
        }
        Cow::Borrowed(Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            let entries = entries.into_iter();
            entries
                .map(|(name, item)| (Value::from(name.as_str()), Cow::Borrowed(item)))
                .collect()
        }
        Cow::Owned(Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            let entries = entries.into_iter();
            let owned = |(name, item): (&String, &Value)| {
                (Value::from(name.as_str()), Cow::Owned(item.clone()))
            };
            entries.map(owned).collect()
        }
        value if value.is_null() => Vec::new(),
        _ => return None,
    })
}
