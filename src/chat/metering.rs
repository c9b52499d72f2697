//! Templates that pay for what their values hold.
//!
//! The engine's fuel pays for steps and for the bytes of strings, but not for what lies deep in a
//! value: `[a, a]` takes two slots, and after thirty rounds of it a comparison, a concatenation or
//! a sum visits a billion leaves in one step. So behind each instruction that puts a value on the
//! stack the compiled template gets a detour that counts what the value holds and pays for it. Then
//! whatever an instruction is given has been paid for, and no instruction has to be known as a
//! dangerous one.

#![forbid(unsafe_code)]

use std::sync::Arc;

use minijinja::machinery::{CompiledTemplate, Instruction, Instructions, TemplateConfig, eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};

use super::strings::BYTES_PER_FUEL;

/// Containers within each other.
pub(super) const MAX_DEPTH: usize = 100;
/// What each value in a container costs beside the bytes of its text, in bytes.
const VALUE_COST: usize = 16;
/// What comparing a byte costs, as a part of what copying it does.
const COMPARE_COST: usize = 16;
/// The test of the detours.
const TEST: &str = "affordable";
/// The place of a test that is looked up by name.
const BY_NAME: u8 = u8::MAX;

/// Compiles `source` with Hugging Face's settings for blanks, and with meters.
pub(super) fn compile<'s>(name: &'s str, source: &'s str) -> Result<CompiledTemplate<'s>, Error> {
    let syntax_config = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    let config = TemplateConfig { syntax_config, default_auto_escape: Arc::new(|_| AutoEscape::None) };
    let mut template = CompiledTemplate::new(name, source, &config)?;
    meter(&mut template.instructions);
    Ok(template)
}

/// Adds what the meters call.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_test(TEST, |state: &State<'_, '_>, value: &Value| pay(state, value).map(|()| true));
}

/// Renders what [`compile`] made.
pub(super) fn render<'t>(
    environment: &'t Environment<'t>,
    template: &'t CompiledTemplate<'t>,
    context: Value,
) -> Result<String, Error> {
    let mut text = String::new();
    let CompiledTemplate { instructions, blocks, initial_auto_escape, .. } = template;
    eval(environment, instructions, context, blocks, &mut make_string_output(&mut text), initial_auto_escape.clone())?;
    Ok(text)
}

/// Puts a detour in the place of each instruction whose value has to be paid for. Detours stand at
/// the end, so that no target of a jump moves.
fn meter(instructions: &mut Instructions<'_>) {
    let end = instructions.add(Instruction::Jump(0));
    let mut behind = end + 1;
    for at in 0..end {
        let Some(instruction) = instructions.get(at).filter(|instruction| makes_value(instruction)).cloned() else {
            continue;
        };
        if surface_suffices(instructions, at + 1) {
            continue;
        }
        let line = instructions.get_line(at).and_then(|line| u16::try_from(line).ok()).unwrap_or(u16::MAX);
        let detour = instructions.add_with_line(instruction, line);
        for step in [
            Instruction::DupTop,
            Instruction::PerformTest(TEST, Some(1), BY_NAME),
            Instruction::DiscardTop,
            Instruction::Jump(at + 1),
        ] {
            behind = instructions.add_with_line(step, line) + 1;
        }
        put(instructions, at, Instruction::Jump(detour));
    }
    // The program itself ends behind the detours.
    put(instructions, end, Instruction::Jump(behind));
}

fn put<'s>(instructions: &mut Instructions<'s>, at: u32, instruction: Instruction<'s>) {
    if let Some(place) = instructions.get_mut(at) {
        *place = instruction;
    }
}

/// Whether the instruction leaves a value on the stack that may hold others.
const fn makes_value(instruction: &Instruction<'_>) -> bool {
    matches!(
        instruction,
        Instruction::Lookup(_)
            | Instruction::GetAttr(_)
            | Instruction::GetItem
            | Instruction::Slice
            | Instruction::BuildMap(_)
            | Instruction::BuildList(_)
            | Instruction::BuildTuple(_)
            | Instruction::Add
            | Instruction::Mul
            | Instruction::ApplyFilter(..)
            | Instruction::CallFunction(..)
            | Instruction::CallMethod(..)
            | Instruction::CallObject(_)
    )
}

/// Whether the value that is on top of the stack before the instruction `at` goes to one that does
/// not look at what it holds, or pays for that itself. So `messages[loop.index0 - 1].role` costs no
/// more for a long conversation.
fn surface_suffices(instructions: &Instructions<'_>, mut at: u32) -> bool {
    // Values above the one in question.
    let mut above = 0;
    while let Some(instruction) = instructions.get(at) {
        match instruction {
            Instruction::Lookup(_) | Instruction::LoadConst(_) => above += 1,
            Instruction::GetAttr(_) if above > 0 => {}
            Instruction::GetItem | Instruction::Add | Instruction::Sub if above > 1 => above -= 1,
            Instruction::GetItem => return above == 1,
            Instruction::Slice => return above == 3,
            // What is set, or the namespace that has it.
            Instruction::SetAttr(_) => return above <= 1,
            Instruction::ApplyFilter("length" | "count" | "first", Some(1), _)
            | Instruction::GetAttr(_)
            | Instruction::StoreLocal(_)
            | Instruction::PushLoop(_)
            | Instruction::JumpIfFalse(_)
            | Instruction::DiscardTop
            | Instruction::Emit => return above == 0,
            _ => return false,
        }
        at += 1;
    }
    false
}

/// Pays for a string, or for everything that a container holds.
pub(super) fn pay(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => state.consume_fuel((text.len() / COMPARE_COST / BYTES_PER_FUEL) as u64),
        None => Meter { state, unpaid: 0 }.visit(value, 0),
    }
}

/// Counts the bytes of a container as if they were copied.
struct Meter<'m, 't, 'e> {
    state: &'m State<'t, 'e>,
    /// Bytes, less than a unit of fuel pays for.
    unpaid: usize,
}

impl Meter<'_, '_, '_> {
    fn visit(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.unpaid += VALUE_COST + value.as_str().map_or(0, str::len);
        self.state.consume_fuel((self.unpaid / BYTES_PER_FUEL) as u64)?;
        self.unpaid %= BYTES_PER_FUEL;
        let kind = value.kind();
        // An iterator of unknown length may be one that can be read once only.
        let readable = match kind {
            ValueKind::Seq | ValueKind::Map => true,
            ValueKind::Iterable => value.len().is_some(),
            _ => false,
        };
        if !readable {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            let message = format!("lists and dictionaries lie more than {MAX_DEPTH} deep in each other");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        for item in value.try_iter()? {
            if kind == ValueKind::Map {
                self.visit(&value.get_item(&item)?, depth + 1)?;
            }
            self.visit(&item, depth + 1)?;
        }
        Ok(())
    }
}
