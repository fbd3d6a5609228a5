//! From tokens to a tree.

use std::ops::Range;

use super::{
    TemplateError, functions,
    lexer::{self, Token, TokenKind},
    parse_error,
};

/// Blocks and parentheses inside each other; deeper templates are refused.
const DEEPEST: usize = 100;

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// `{{pipeline}}`: print it, unless it declares or assigns.
    Action(Pipeline),
    /// `{{if}}`.
    If(Branch),
    /// `{{with}}`, which makes its value the dot.
    With(Branch),
    /// `{{range}}`.
    Range(Branch),
    /// `{{break}}`.
    Break,
    /// `{{continue}}`.
    Continue,
}

/// A block with its `else`.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$x := command | command`.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    /// The variables on the left.
    pub(super) variables: Vec<String>,
    /// `=` in place of `:=`.
    pub(super) assigns: bool,
    /// At least one.
    pub(super) commands: Vec<Command>,
}

/// Words side by side: a value, or a function or method with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    /// Where it stands in the source.
    pub(super) span: Range<usize>,
    /// At least one.
    pub(super) operands: Vec<Operand>,
}

/// One word of a command.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    /// Where it stands in the source.
    pub(super) span: Range<usize>,
    /// Where errors about it point to: for chains, as in Go, the second field.
    pub(super) at: usize,
    pub(super) kind: OperandKind,
    /// Fields behind it: `.A.B`, `$x.A`, `(…).A`.
    pub(super) fields: Vec<String>,
}

/// What a word is, before its fields.
#[derive(Debug, Clone)]
pub(super) enum OperandKind {
    /// The current value. With fields, the fields are its own.
    Dot,
    Nil,
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    /// `$` or `$name`.
    Variable(String),
    Function(String),
    Pipeline(Pipeline),
}

/// The tree of `source`.
pub(super) fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        source,
        tokens: lexer::tokens(source)?,
        next: 0,
        variables: vec!["$".to_owned()],
        ranges: 0,
        depth: 0,
    };
    match parser.list()? {
        (nodes, Ending::Text) => Ok(nodes),
        (_, ending) => Err(parser.error(format!("unexpected {{{{{}}}}}", ending.word()))),
    }
}

/// What ended a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The text.
    Text,
    /// `{{end}}`.
    End,
    /// `{{else`, the rest of which is still to be read.
    Else,
}

impl Ending {
    const fn word(self) -> &'static str {
        match self {
            Self::Text => "EOF",
            Self::End => "end",
            Self::Else => "else",
        }
    }
}

struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    next: usize,
    /// The names in scope.
    variables: Vec<String>,
    /// The `range`s around.
    ranges: usize,
    /// The blocks and parentheses around.
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += usize::from(token.is_some());
        token
    }

    /// Step over the next token if it is `kind`.
    fn accept(&mut self, kind: &TokenKind) -> bool {
        let found = self.peek() == Some(kind);
        self.next += usize::from(found);
        found
    }

    /// Step over the next token if it is the word `wanted`.
    fn accept_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(TokenKind::Word(word)) if word == wanted);
        self.next += usize::from(found);
        found
    }

    /// The byte that the parser has reached.
    fn here(&self) -> usize {
        let token = self.tokens.get(self.next);
        token.map_or(self.source.len(), |token| token.start)
    }

    /// The byte behind what the parser has taken.
    fn behind(&self) -> usize {
        let token = self
            .next
            .checked_sub(1)
            .and_then(|last| self.tokens.get(last));
        token.map_or(0, |token| token.end)
    }

    fn error(&self, message: impl Into<String>) -> TemplateError {
        parse_error(self.source, self.here(), message)
    }

    fn unexpected(&self, context: &str) -> TemplateError {
        let what = match self.tokens.get(self.next) {
            None => "EOF".to_owned(),
            Some(Token {
                kind: TokenKind::Dot,
                ..
            }) => "<.>".to_owned(),
            Some(Token {
                kind: TokenKind::Close,
                ..
            }) => "\"}}\"".to_owned(),
            Some(token) => format!("{:?}", &self.source[token.start..token.end]),
        };
        self.error(format!("unexpected {what} in {context}"))
    }

    /// Run `inner` one level deeper.
    fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        if self.depth == DEEPEST {
            return Err(self.error(format!("more than {DEEPEST} blocks inside each other")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Nodes up to `{{end}}`, `{{else` or the end of the text.
    fn list(&mut self) -> Result<(Vec<Node>, Ending), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            match token.kind {
                TokenKind::Text(text) => nodes.push(Node::Text(text)),
                // Whatever is no text is the start of an action.
                _ if self.accept_word("end") => {
                    self.expect_close("end")?;
                    return Ok((nodes, Ending::End));
                }
                _ if self.accept_word("else") => return Ok((nodes, Ending::Else)),
                _ => nodes.push(self.action()?),
            }
        }
        Ok((nodes, Ending::Text))
    }

    fn expect_close(&mut self, context: &str) -> Result<(), TemplateError> {
        match self.accept(&TokenKind::Close) {
            true => Ok(()),
            false => Err(self.unexpected(context)),
        }
    }

    /// What stands behind `{{`.
    fn action(&mut self) -> Result<Node, TemplateError> {
        let Some(TokenKind::Word(word)) = self.peek() else {
            return self.print();
        };
        match word.clone().as_str() {
            "if" => self.block("if").map(Node::If),
            "with" => self.block("with").map(Node::With),
            "range" => self.block("range").map(Node::Range),
            word @ ("break" | "continue") => {
                self.next += 1;
                self.expect_close(&format!("{{{{{word}}}}}"))?;
                if self.ranges == 0 {
                    return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                Ok(match word {
                    "break" => Node::Break,
                    _ => Node::Continue,
                })
            }
            word @ ("define" | "template" | "block") => {
                Err(self.error(format!("{{{{{word}}}}} is not supported in --format")))
            }
            _ => self.print(),
        }
    }

    fn print(&mut self) -> Result<Node, TemplateError> {
        let pipeline = self.pipeline("command")?;
        self.expect_close("operand")?;
        Ok(Node::Action(pipeline))
    }

    /// `if`, `with` or `range` with everything up to its `{{end}}`; the word is next.
    fn block(&mut self, word: &'static str) -> Result<Branch, TemplateError> {
        self.next += 1;
        self.deeper(|parser| {
            let scope = parser.variables.len();
            let pipeline = parser.pipeline(word)?;
            parser.expect_close("operand")?;
            parser.ranges += usize::from(word == "range");
            let (body, ending) = parser.list()?;
            parser.ranges -= usize::from(word == "range");
            let otherwise = match ending {
                Ending::Text => return Err(parser.error("unexpected EOF")),
                Ending::End => Vec::new(),
                Ending::Else => parser.otherwise(word)?,
            };
            parser.variables.truncate(scope);
            Ok(Branch {
                pipeline,
                body,
                otherwise,
            })
        })
    }

    /// What follows `{{else` of a block `word`, up to the block's `{{end}}`.
    fn otherwise(&mut self, word: &str) -> Result<Vec<Node>, TemplateError> {
        let chained = matches!(self.peek(), Some(TokenKind::Word(next)) if next == word);
        match word {
            "if" if chained => return Ok(vec![Node::If(self.block("if")?)]),
            "with" if chained => return Ok(vec![Node::With(self.block("with")?)]),
            _ => self.expect_close("else")?,
        }
        match self.list()? {
            (nodes, Ending::End) => Ok(nodes),
            (_, Ending::Else) => Err(self.error("expected end; found {{else}}")),
            (_, Ending::Text) => Err(self.error("unexpected EOF")),
        }
    }

    /// A pipeline; what follows it is for the caller to check.
    fn pipeline(&mut self, context: &str) -> Result<Pipeline, TemplateError> {
        let (variables, assigns) = self.declaration(context)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command(context)?;
            if let (false, Some(operand)) = (commands.is_empty(), command.operands.first()) {
                let executable = match operand.kind {
                    OperandKind::Function(_) | OperandKind::Pipeline(_) => true,
                    OperandKind::Dot | OperandKind::Variable(_) => !operand.fields.is_empty(),
                    _ => false,
                };
                if !executable {
                    let stage = commands.len() + 1;
                    return Err(
                        self.error(format!("non executable command in pipeline stage {stage}"))
                    );
                }
            }
            commands.push(command);
            if !self.accept(&TokenKind::Pipe) {
                break;
            }
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline {
            variables,
            assigns,
            commands,
        })
    }

    /// `$x :=`, `$x =` or, for `range`, `$key, $value :=`, if that is what comes.
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool), TemplateError> {
        let start = self.next;
        let mut variables = Vec::new();
        while let Some(TokenKind::Variable(name)) = self.peek() {
            variables.push(name.clone());
            self.next += 1;
            if !self.accept(&TokenKind::Comma) {
                break;
            }
        }
        let assigns = match self.peek() {
            Some(TokenKind::Declare) if !variables.is_empty() => false,
            Some(TokenKind::Assign) if !variables.is_empty() => true,
            _ => {
                self.next = start;
                return Ok((Vec::new(), false));
            }
        };
        let most = if context == "range" { 2 } else { 1 };
        if variables.len() > most {
            return Err(self.error(format!("too many declarations in {context}")));
        }
        if assigns {
            for name in &variables {
                self.known(name)?;
            }
        }
        self.next += 1;
        Ok((variables, assigns))
    }

    fn known(&self, name: &String) -> Result<(), TemplateError> {
        match self.variables.contains(name) {
            true => Ok(()),
            false => Err(self.error(format!("undefined variable {name:?}"))),
        }
    }

    /// Operands up to `|`, `)` or `}}`.
    fn command(&mut self, context: &str) -> Result<Command, TemplateError> {
        let start = self.here();
        let mut operands = Vec::new();
        loop {
            match self.tokens.get(self.next) {
                None => return Err(self.error("unclosed action")),
                Some(token) if !operands.is_empty() && !token.spaced => match token.kind {
                    TokenKind::Pipe | TokenKind::RightParenthesis | TokenKind::Close => break,
                    _ => return Err(self.unexpected("operand")),
                },
                Some(Token {
                    kind: TokenKind::Pipe | TokenKind::RightParenthesis | TokenKind::Close,
                    ..
                }) => break,
                Some(_) => match self.operand()? {
                    Some(operand) => operands.push(operand),
                    None if operands.is_empty() => return Err(self.unexpected("command")),
                    None => return Err(self.unexpected("operand")),
                },
            }
        }
        if operands.is_empty() {
            let context = match context {
                "operand" => "parenthesized pipeline",
                context => context,
            };
            return Err(self.error(format!("missing value for {context}")));
        }
        Ok(Command {
            span: start..self.behind(),
            operands,
        })
    }

    /// One word with the fields behind it; `None` for a sign that starts no word.
    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let Some(token) = self.tokens.get(self.next).cloned() else {
            return Ok(None);
        };
        let token_is_dot = token.kind == TokenKind::Dot;
        let mut fields = Vec::new();
        let kind = match token.kind {
            TokenKind::Dot => OperandKind::Dot,
            TokenKind::Field(name) => {
                fields.push(name);
                OperandKind::Dot
            }
            TokenKind::Variable(name) => {
                self.known(&name)?;
                OperandKind::Variable(name)
            }
            TokenKind::Word(word) => self.word(word)?,
            TokenKind::String(text) => OperandKind::String(text),
            TokenKind::Integer(number) => OperandKind::Integer(number),
            TokenKind::Float(number) => OperandKind::Float(number),
            TokenKind::LeftParenthesis => {
                self.next += 1;
                let pipeline = self.deeper(|parser| parser.pipeline("operand"))?;
                if self.peek() != Some(&TokenKind::RightParenthesis) {
                    return Err(self.unexpected("operand"));
                }
                OperandKind::Pipeline(pipeline)
            }
            _ => return Ok(None),
        };
        self.next += 1;
        if token_is_dot
            && matches!(
                self.tokens.get(self.next),
                Some(Token {
                    kind: TokenKind::Field(_),
                    spaced: false,
                    ..
                })
            )
        {
            return Err(self.error("unexpected . after term \".\""));
        }
        let mut at = token.start;
        while let Some(Token {
            kind: TokenKind::Field(name),
            spaced: false,
            start,
            ..
        }) = self.tokens.get(self.next)
        {
            if at == token.start {
                at = *start;
            }
            fields.push(name.clone());
            self.next += 1;
        }
        self.check_fields(&kind, &fields)?;
        Ok(Some(Operand {
            span: token.start..self.behind(),
            at,
            kind,
            fields,
        }))
    }

    /// Constants have no fields: `"a".B`.
    fn check_fields(&self, kind: &OperandKind, fields: &[String]) -> Result<(), TemplateError> {
        let constant = match kind {
            OperandKind::Nil => "nil",
            OperandKind::Bool(_) => "a boolean",
            OperandKind::Integer(_) | OperandKind::Float(_) => "a number",
            OperandKind::String(_) => "a string",
            _ => return Ok(()),
        };
        match fields.is_empty() {
            true => Ok(()),
            false => Err(self.error(format!("unexpected . after {constant}"))),
        }
    }

    fn word(&self, word: String) -> Result<OperandKind, TemplateError> {
        match word.as_str() {
            "true" => Ok(OperandKind::Bool(true)),
            "false" => Ok(OperandKind::Bool(false)),
            "nil" => Ok(OperandKind::Nil),
            "if" | "else" | "end" | "range" | "with" | "break" | "continue" | "define"
            | "template" | "block" => Err(self.unexpected("operand")),
            _ if functions::exists(&word) => Ok(OperandKind::Function(word)),
            _ => Err(self.error(format!("function {word:?} not defined"))),
        }
    }
}
