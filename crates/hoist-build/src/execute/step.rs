//! One step: its key, the cache, and what is done when the cache has nothing.

use std::{path::Path, sync::atomic::AtomicBool, time::Instant};

use hoist_core::{Describe, Digest, Kind, event::BuildEvent};

use super::{
    StageResult, Worker,
    copy::{self, Item, Job},
    draft::New,
    owner,
};
use crate::{
    cache::{Claim, Earlier, Found, Record},
    error::BuildError,
    explain::manifest,
    key::Parts,
    parts::{self, Ground},
    plan::{Action, CopyAction, CopyFrom, StagePlan, Step},
    remote::{Stock, Supplier},
    schedule::{Board, Permit},
    sources::{Place, Source, gather},
    tree::Root,
};

/// The step that is being done, and where.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) stage: &'a StagePlan,
    pub(super) step: &'a Step,
    /// The layers below.
    pub(super) layers: &'a [Digest],
    pub(super) board: &'a Board<StageResult>,
    pub(super) stop: &'a AtomicBool,
}

/// The right to work on a step: a claim on its key, and a share of the machine.
struct Turn<'a> {
    claim: Claim<'a>,
    started: Instant,
    _permit: Permit<'a>,
}

impl Worker<'_> {
    /// Do `step` on top of `layers`, unless it has been done.
    pub(super) fn step(
        &self,
        stage: &StagePlan,
        step: &Step,
        layers: &[Digest],
        board: &Board<StageResult>,
        stop: &AtomicBool,
    ) -> Result<Record, BuildError> {
        let at = At {
            stage,
            step,
            layers,
            board,
            stop,
        };
        self.emit(BuildEvent::StepStarted {
            index: step.index,
            total: self.plan.total,
            stage: stage.name.clone(),
            number: step.position + 1 + usize::from(stage.base_name.is_some()),
            of: stage.length(),
            text: step.text.clone(),
        });
        let started = Instant::now();
        let result = match &step.action {
            Action::Run(run) => self.run(at, run),
            Action::Copy(copy) => self.copy(at, copy),
            Action::MakeDirectory { path, user } => self.make_directory(at, path, user),
        };
        result.map_err(|error| {
            let error = error.at(|| self.listing.excerpt(step.span));
            if !matches!(error, BuildError::Cancelled) {
                self.emit(BuildEvent::StepFailed {
                    index: step.index,
                    duration: started.elapsed(),
                    exit_code: match error.kind() {
                        Kind::ContainerCommand(code) => Some(code),
                        _ => None,
                    },
                    text: hoist_core::error::chain(error.innermost()),
                });
            }
            error
        })
    }

    /// Look up `parts`; when the step is to be done, say why and wait for a turn.
    fn turn<'b>(
        &'b self,
        at: At<'_>,
        parts: &Parts,
        sources: &[Source],
    ) -> Result<Result<Record, Turn<'b>>, BuildError> {
        let key = parts.key();
        self.trail.note((at.stage.number, at.step.position), key);
        let claim = match self.cache.find(key, self.earlier(at.stage)) {
            Found::Done(record) => {
                self.found(at);
                return Ok(Ok(record));
            }
            Found::ToDo(claim) => claim,
        };
        if !matches!(&at.step.action, Action::Copy(copy) if matches!(copy.from, CopyFrom::Other(_)))
        {
            self.explain(at, parts, sources);
        }
        let permit = self.permits.acquire(at.stop)?;
        Ok(Err(Turn {
            claim,
            started: Instant::now(),
            _permit: permit,
        }))
    }

    /// Say why the step has to run, when an earlier build had it. That the cache is not used at
    /// all needs no saying.
    fn explain(&self, at: At<'_>, parts: &Parts, sources: &[Source]) {
        let position = (at.stage.number, at.step.position);
        if !self.cache.counts() {
            return self.trail.miss(self.cache);
        }
        let reason = match self.earlier(at.stage) {
            Earlier::Counts => self.trail.reason(self.cache, position, parts, sources),
            Earlier::IsIgnored => {
                self.trail.miss(self.cache);
                Some("its stage is to be done anew (--no-cache-filter)".to_owned())
            }
        };
        if let Some(text) = reason {
            let index = at.step.index;
            self.emit(BuildEvent::StepReason { index, text });
        }
    }

    fn found(&self, at: At<'_>) {
        self.emit(BuildEvent::StepCached {
            index: at.step.index,
        });
    }

    fn finished(&self, at: At<'_>, started: Instant, record: &Record) {
        self.note_ran(at.step.index);
        self.emit(BuildEvent::StepFinished {
            index: at.step.index,
            duration: started.elapsed(),
            layer_bytes: record.layer.map(|_| record.size),
        });
    }

    fn run(&self, at: At<'_>, action: &crate::plan::RunAction) -> Result<Record, BuildError> {
        let digests = self.mount_digests(at, action)?;
        let mut parts = parts::run(action, at.layers, &self.platform, &digests);
        self.times.enter(&mut parts);
        let turn = match self.turn(at, &parts, &[])? {
            Ok(record) => return Ok(record),
            Err(turn) => turn,
        };
        let mut making = self.execute(at, action)?;
        let idle = std::mem::take(&mut making.idle_caches);
        let record = turn.claim.done(self.commit(at.step.index, making, parts)?);
        self.tell_idle(at, &idle, &record);
        self.finished(at, turn.started, &record);
        Ok(record)
    }

    fn make_directory(&self, at: At<'_>, path: &str, user: &str) -> Result<Record, BuildError> {
        let mut parts = parts::make_directory(path, user, at.layers);
        self.times.enter(&mut parts);
        let turn = match self.turn(at, &parts, &[])? {
            Ok(record) => return Ok(record),
            Err(turn) => turn,
        };
        let (making, mut draft) = self.begin(at.layers, at.stage.time)?;
        let resolved = draft.resolve(Path::new(path))?;
        if !draft.is_directory(&resolved) {
            let owner = self.owner(Some(user).filter(|user| !user.is_empty()), at.layers)?;
            draft.directory(&resolved, New::directory(owner.unwrap_or_default()))?;
        }
        draft.finish()?;
        let record = turn.claim.done(self.commit(at.step.index, making, parts)?);
        self.finished(at, turn.started, &record);
        Ok(record)
    }

    /// The numbers of `--chown`, or of the user of a WORKDIR.
    fn owner(
        &self,
        text: Option<&str>,
        layers: &[Digest],
    ) -> Result<Option<super::draft::Owner>, BuildError> {
        let Some(text) = text else { return Ok(None) };
        let numeric = |name: &str| name.is_empty() || name.parse::<u32>().is_ok();
        let image = if text.split(':').all(numeric) {
            None
        } else {
            self.tree(layers)?
        };
        owner::look_up(text, image.as_ref()).map(Some)
    }

    fn copy(&self, at: At<'_>, action: &CopyAction) -> Result<Record, BuildError> {
        let ground = if action.options.link {
            Ground::Independent(self.owner(action.chown.as_deref(), at.layers)?)
        } else {
            Ground::Layers(at.layers)
        };
        match &action.from {
            CopyFrom::Context | CopyFrom::Named(_) => {
                let root = &self.context_of(&action.from).root;
                let sources = self.prepared(at.step.index, 0);
                let pinned = self.pinned(at.step.index);
                let mut parts = parts::copy(action, ground, sources, pinned);
                self.times.enter(&mut parts);
                let turn = match self.turn(at, &parts, sources)? {
                    Ok(record) => return Ok(record),
                    Err(turn) => turn,
                };
                self.copied(at, action, turn, (parts, root, sources))
            }
            CopyFrom::Other(base) => {
                let from = self.layers_of(base, at.board, at.stop)?;
                let mut parts = parts::copy_from(action, ground, &from);
                self.times.enter(&mut parts);
                let turn = match self.turn(at, &parts, &[])? {
                    Ok(record) => return Ok(record),
                    Err(turn) => turn,
                };
                self.copy_other(at, action, turn, (parts, ground, &from))
            }
        }
    }

    /// `COPY --from` of something that has changed: the content may be the same all the same.
    fn copy_other(
        &self,
        at: At<'_>,
        action: &CopyAction,
        turn: Turn<'_>,
        (parts, ground, from): (Parts, Ground<'_>, &[Digest]),
    ) -> Result<Record, BuildError> {
        let Some(root) = self.tree(from)? else {
            return Err(BuildError::MissingSource {
                path: action.sources.first().cloned().unwrap_or_default(),
                hints: vec!["scratch has no files".to_owned()],
            });
        };
        let place = Place {
            root: &root,
            context: None,
            cancelled: at.stop,
        };
        let sources = gather(action, place)?;
        let mut by_content = parts::copy(action, ground, &sources, &[]);
        self.times.enter(&mut by_content);
        let content_key = by_content.key();
        let record = match self.cache.find(content_key, self.earlier(at.stage)) {
            Found::Done(record) => {
                self.found(at);
                record
            }
            Found::ToDo(claim) => {
                self.explain(at, &parts, &sources);
                let (record, _) = self.make_copy(at, action, by_content, (&root, &sources))?;
                let record = claim.done(record);
                self.finished(at, turn.started, &record);
                record
            }
        };
        self.cache.write_files(parts.key(), &manifest(&sources));
        Ok(turn.claim.done(Record {
            parts,
            by_content: Some(content_key),
            ..record
        }))
    }

    fn copied(
        &self,
        at: At<'_>,
        action: &CopyAction,
        turn: Turn<'_>,
        (parts, root, sources): (Parts, &Root, &[Source]),
    ) -> Result<Record, BuildError> {
        let (record, changed) = self.make_copy(at, action, parts, (root, sources))?;
        let record = if changed {
            // The layer is fine, but it is not what the key says.
            turn.claim.done_for_now(record)
        } else {
            self.cache
                .write_files(record.parts.key(), &manifest(sources));
            turn.claim.done(record)
        };
        self.finished(at, turn.started, &record);
        Ok(record)
    }

    /// Copy; true when a file changed since it was digested.
    fn make_copy(
        &self,
        at: At<'_>,
        action: &CopyAction,
        parts: Parts,
        (root, sources): (&Root, &[Source]),
    ) -> Result<(Record, bool), BuildError> {
        let below = if action.options.link {
            &[][..]
        } else {
            at.layers
        };
        let stocks = self.fetch(at, action)?;
        let (mut making, mut draft) = self.begin(below, at.stage.time)?;
        let unpacks = is_unpacking(sources, &stocks);
        if !matches!(action.from, CopyFrom::Other(_)) && !unpacks {
            making.reach = self.times.reach_of_context();
        }
        let trees = items(root, sources, action, &stocks);
        let inline = action.inline.iter().map(|(name, content)| Item::Inline {
            name,
            content: content.as_bytes(),
        });
        let job = Job {
            items: trees.into_iter().chain(inline).collect(),
            destination: &action.destination,
            owner: self.owner(action.chown.as_deref(), at.layers)?,
            chmod: action.chmod.as_ref().map(|(_, chmod)| chmod),
            cancelled: at.stop,
        };
        let outcome = self.timed(at.step.index, "copy", || copy::copy(&mut draft, &job))?;
        draft.finish()?;
        Ok((
            self.commit(at.step.index, making, parts)?,
            outcome.source_changed,
        ))
    }

    /// Bring here what `action` reads from elsewhere.
    fn fetch(&self, at: At<'_>, action: &CopyAction) -> Result<Vec<Stock>, BuildError> {
        let Some(supplier) = self.supplier.filter(|_| !action.remotes.is_empty()) else {
            return Ok(Vec::new());
        };
        let supplier = Supplier {
            stop: at.stop,
            ..supplier
        };
        let pins = self.pinned(at.step.index);
        let fetch = || {
            let remotes = action
                .remotes
                .iter()
                .map(|argument| &argument.remote)
                .zip(pins);
            remotes
                .map(|(remote, pinned)| supplier.fetch(remote, pinned, &action.exclude))
                .collect()
        };
        self.timed(at.step.index, "fetch", fetch)
    }
}

/// What `action` copies, in the order in which it names it: `sources` of `root` and `stocks`.
fn items<'a>(
    root: &'a Root,
    sources: &'a [Source],
    action: &CopyAction,
    stocks: &'a [Stock],
) -> Vec<Item<'a>> {
    let here = sources.iter().map(|source| {
        let item = match source.is_archive {
            true => Item::Archive {
                root,
                path: &source.start,
            },
            false => Item::Tree {
                root,
                name: &source.name,
                start: &source.start,
                entries: &source.entries,
            },
        };
        (source.argument, item)
    });
    let remotes = action.remotes.iter().zip(stocks);
    // What `--exclude` leaves nothing of is not copied.
    let fetched = remotes.filter(|(_, stock)| !stock.entries.is_empty());
    let fetched = fetched.map(|(remote, stock)| {
        let item = match stock.is_archive {
            true => Item::Archive {
                root: &stock.root,
                path: &stock.start,
            },
            false => Item::Tree {
                root: &stock.root,
                name: &stock.name,
                start: &stock.start,
                entries: &stock.entries,
            },
        };
        (remote.argument, item)
    });
    let mut items: Vec<_> = here.chain(fetched).collect();
    items.sort_by_key(|(argument, _)| *argument);
    items.into_iter().map(|(_, item)| item).collect()
}

/// True when all that is copied are archives, whose members have times of their own.
fn is_unpacking(sources: &[Source], stocks: &[Stock]) -> bool {
    let here = sources.iter().map(|source| source.is_archive);
    let mut all = here
        .chain(stocks.iter().map(|stock| stock.is_archive))
        .peekable();
    all.peek().is_some() && all.all(|is_archive| is_archive)
}
