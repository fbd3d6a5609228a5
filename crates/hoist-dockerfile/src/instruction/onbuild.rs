//! `ONBUILD instruction`.

use super::{Instruction, InstructionKind, Keyword, Parsed, Request, Statement};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Spanned;

/// An instruction to run in builds that start from this image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnBuild {
    /// The instruction as the image's configuration keeps it: on one line, heredocs below.
    pub expression: Spanned<String>,
    /// What it says; `None` if it is no valid instruction (Docker finds out when it is triggered).
    pub trigger: Option<Box<InstructionKind>>,
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<OnBuild, Diagnostic> {
    let args = request.args();
    if args.text().is_empty() {
        return Err(request.needs_one());
    }
    request.no_flags()?;
    let statement = Statement::split(args, request.escape);
    let keyword = statement.known_keyword();
    match keyword {
        Ok(Keyword::OnBuild) => {
            let message = "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";
            return Err(Diagnostic::error(
                "onbuild",
                message,
                statement.keyword.span(),
            ));
        }
        Ok(keyword @ (Keyword::Maintainer | Keyword::From)) => {
            let message = format!("{keyword} isn't allowed as an ONBUILD trigger");
            return Err(Diagnostic::error(
                "onbuild",
                message,
                statement.keyword.span(),
            ));
        }
        _ => {}
    }
    let mut expression = args.text().to_owned();
    for heredoc in &request.heredocs {
        expression.push('\n');
        expression.push_str(&heredoc.content);
        expression.push_str(&heredoc.name);
    }
    let parsed = keyword.and_then(|keyword| {
        Request {
            keyword,
            statement: &statement,
            heredocs: std::mem::take(&mut request.heredocs),
            escape: request.escape,
            span: request.span,
            warnings: &mut *request.warnings,
        }
        .parse()
    });
    let trigger = match parsed {
        Ok(Parsed::Other(kind)) => Some(Box::new(kind)),
        Ok(Parsed::From(_)) => None,
        Err(error) => {
            request.warnings.push(Diagnostic {
                severity: Severity::Warning,
                code: "InvalidTrigger",
                message: format!("builds from this image will fail: {}", error.message),
                ..error
            });
            None
        }
    };
    Ok(OnBuild {
        expression: args.spanned().with(expression),
        trigger,
    })
}

/// Parses the expression of an ONBUILD of a base image: one instruction.
///
/// # Errors
/// The expression is not one valid instruction. Spans refer to `expression`.
pub fn parse_trigger(expression: &str) -> Result<Instruction, Vec<Diagnostic>> {
    let mut found = crate::dockerfile::parse_fragment(expression)?;
    match (found.pop(), found.is_empty()) {
        (Some(instruction), true) => Ok(instruction),
        _ => {
            let message = "onbuild trigger should be a single expression";
            let span = crate::source::Span::new(0, expression.len());
            Err(vec![Diagnostic::error("onbuild", message, span)])
        }
    }
}
