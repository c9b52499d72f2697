/**
 * Checks the arguments of callers. Unknown keys are errors, and every message names the option.
 *
 * One table per options type, whose keys the compiler compares with the type. The ranges of decode
 * options are those of the Rust crate (`src/decode/options.rs`): both test suites run
 * `tests/cases/options.json`.
 */

import type { CheckpointOptions, ConvertOptions, ReadOptions, TaskOptions, TensorType } from './checkpoint-types.js'
import { WebternError } from './errors.js'
import type {
  Acceptance,
  AppendOptions,
  ChatMessage,
  DecodeMode,
  DecodeOptions,
  GenerateOptions,
  LoadOptions,
  SessionGenerateOptions,
  SessionPrompt,
  TokenIds,
} from './types.js'
import type { EngineRequest } from './wasm.js'

interface Rule {
  /** Completes "... must be". */
  readonly must: string
  readonly holds: (value: unknown) => boolean
}

type Rules<T> = { readonly [K in keyof Required<T>]: Rule }

const MODES: Readonly<Record<DecodeMode, true>> = {
  auto: true,
  ar: true,
  greedy: true,
  iterative: true,
  adaptive: true,
  speculative: true,
}
const ACCEPTANCES: Readonly<Record<Acceptance, true>> = {
  threshold: true,
  dynamic: true,
  static: true,
  product: true,
  local: true,
  entropy: true,
}
const TYPES: Readonly<Record<TensorType, true>> = {
  q2_0: true,
  pq2_0: true,
  tq1_0: true,
  tq2_0: true,
  i2_s: true,
  q8_0: true,
  q4_0: true,
  f16: true,
  bf16: true,
  f32: true,
}
const EMBEDDING_TYPES: Readonly<Record<NonNullable<CheckpointOptions['embeddingType']>, true>> = {
  q8_0: true,
  q4_0: true,
  f16: true,
  bf16: true,
  f32: true,
}
const ROLES: Readonly<Record<ChatMessage['role'], true>> = { system: true, user: true, assistant: true, tool: true }
const MAX_U32 = 2 ** 32 - 1

const text: Rule = { must: 'a string', holds: isString }
const flag: Rule = { must: 'true or false', holds: (value) => typeof value === 'boolean' }
const callback: Rule = { must: 'a function', holds: (value) => typeof value === 'function' }
const signal: Rule = { must: 'an AbortSignal', holds: (value) => value instanceof AbortSignal }
const address: Rule = { must: 'a URL or a string', holds: (value) => isString(value) || value instanceof URL }
const attention = oneOf({ block: true, causal: true })
const tokenIds: Rule = { must: 'an array of token ids (integers of at least 0)', holds: isTokenIds }
const messages: Rule = {
  must: `an array of at least one { role, content }, both strings, with a role of ${Object.keys(ROLES).join(', ')}`,
  holds: (value) => Array.isArray(value) && value.length > 0 && value.every(isMessage),
}

const DECODE_RULES: Rules<DecodeOptions> = {
  mode: oneOf(MODES),
  threshold: numberAbove(0, 1),
  acceptance: oneOf(ACCEPTANCES),
  steps: integer(1),
  blockSize: integer(1),
  subBlockSize: integer(1),
  dualCache: flag,
  maxTokens: integer(1),
  temperature: number(0, 100),
  topK: integer(0),
  topP: numberAbove(0, 1),
  minP: number(0, 1),
  repetitionPenalty: number(0.01, 100),
  presencePenalty: number(-2, 2),
  frequencyPenalty: number(-2, 2),
  logitBias: { must: 'an object of token ids with numbers from -100 to 100', holds: isLogitBias },
  logprobs: integer(0, 20),
  seed: integer(0, Number.MAX_SAFE_INTEGER),
  stop: {
    must: 'a non-empty string, or an array of them',
    holds: (value) => [value].flat().every((item) => isString(item) && item !== ''),
  },
  stopTokenIds: { must: 'an array of token ids', holds: (value) => Array.isArray(value) && isTokenIds(value) },
  signal,
}
const templateArguments: Rule = {
  must: 'an object of JSON values',
  holds: (value) => isObject(value) && !Array.isArray(value),
}
const GENERATE_RULES: Rules<GenerateOptions> = {
  ...DECODE_RULES,
  prompt: text,
  messages,
  tokens: tokenIds,
  parseSpecial: {
    must: "true, false or 'template'",
    holds: (value) => typeof value === 'boolean' || value === 'template',
  },
  chatTemplateArgs: templateArguments,
}
const APPEND_RULES: Rules<AppendOptions> = {
  prompt: text,
  messages,
  tokens: tokenIds,
  parseSpecial: GENERATE_RULES.parseSpecial,
  chatTemplateArgs: templateArguments,
  mode: GENERATE_RULES.mode,
  blockSize: GENERATE_RULES.blockSize,
  signal,
}
const TASK_RULES: Rules<TaskOptions> = { signal, wasmBaseUrl: address, workerUrl: address }
const LOAD_RULES: Rules<LoadOptions> = {
  ...TASK_RULES,
  onProgress: callback,
  threads: integer(1),
  contextLength: integer(1),
  maskTokenId: integer(0),
  attention,
  shiftLogits: flag,
  chatTemplate: text,
  chatTemplateArgs: templateArguments,
}
const CHECKPOINT_RULES: Rules<CheckpointOptions> = {
  ...TASK_RULES,
  type: oneOf(TYPES),
  embeddingType: oneOf(EMBEDDING_TYPES),
  subln: oneOf({ keep: true, drop: true }),
  scales: oneOf({ f32: true, f16: true }),
  ternarize: flag,
  name: text,
  maskTokenId: integer(0),
  forceMaskToken: flag,
  blockSize: integer(1),
  attention,
  shiftLogits: flag,
}
const READ_RULES: Rules<ReadOptions> = { ...TASK_RULES, onProgress: callback }
const CONVERT_RULES: Rules<ConvertOptions> = { ...CHECKPOINT_RULES, onProgress: callback }
const TOKENIZE_RULES = { text, addSpecial: flag, parseSpecial: flag }
const DETOKENIZE_RULES = { ids: tokenIds, skipSpecial: flag }
const CHAT_TEMPLATE_RULES = { messages, addGenerationPrompt: flag, chatTemplateArgs: templateArguments }

/** @throws {WebternError} `bad-option` */
export function checkLoad(options: LoadOptions): void {
  check('loadModel', options, LOAD_RULES)
}

/** @throws {WebternError} `bad-option` */
export function checkInspectCheckpoint(options: CheckpointOptions): void {
  check('inspectCheckpoint', options, CHECKPOINT_RULES)
}

/** @throws {WebternError} `bad-option` */
export function checkConvert(options: ConvertOptions): void {
  check('convertCheckpoint', options, CONVERT_RULES)
}

/** Checks the options of `inspectModel` and `verifyModel`. @throws {WebternError} `bad-option` */
export function checkRead(caller: string, options: ReadOptions): void {
  check(caller, options, READ_RULES)
}

/** Checks the arguments of `tokenize`. @throws {WebternError} `bad-option` */
export function checkTokenize(args: object): void {
  check('tokenize', args, TOKENIZE_RULES, ['text'])
}

/** Checks the arguments of `detokenize`. @throws {WebternError} `bad-option` */
export function checkDetokenize(args: object): void {
  check('detokenize', args, DETOKENIZE_RULES, ['ids'])
}

/** Checks the arguments of `applyChatTemplate`. @throws {WebternError} `bad-option` */
export function checkChatTemplate(args: object): void {
  check('applyChatTemplate', args, CHAT_TEMPLATE_RULES, ['messages'])
}

/** Checks a request and converts it to the engine's form. @throws {WebternError} `bad-option` */
export function checkGenerate(options: GenerateOptions): EngineRequest {
  check('generate', options, GENERATE_RULES)
  checkPrompt('generate', options)
  return engineRequest(options)
}

/** As {@link checkGenerate}, for a session, which may go on without a prompt. */
export function checkSessionGenerate(options: SessionGenerateOptions): EngineRequest {
  check('generate', options, GENERATE_RULES)
  if (prompts(options) === 0) return { ...engineRequest(options), tokens: [] }
  checkPrompt('generate', options)
  return engineRequest(options)
}

/** As {@link checkGenerate}, for the `append` of a session. */
export function checkAppend(options: AppendOptions): EngineRequest {
  check('append', options, APPEND_RULES)
  checkPrompt('append', options)
  return engineRequest(options)
}

/** @throws {WebternError} `bad-option` */
export function checkSessionName(name: string): void {
  const holds = isString(name) && /^[^/\\]{1,200}$/.test(name) && name !== '.' && name !== '..'
  if (!holds) throw badOption(`the name of a session must be a string without slashes, not ${show(name)}`)
}

function prompts({ prompt, messages, tokens }: SessionPrompt): number {
  return [prompt, messages, tokens].filter((given) => given !== undefined).length
}

function checkPrompt(caller: string, options: SessionPrompt): void {
  if (prompts(options) !== 1) throw badOption(`${caller} needs exactly one of prompt, messages and tokens`)
}

function engineRequest({ signal: _signal, tokens, stop, ...rest }: SessionGenerateOptions): EngineRequest {
  return {
    ...rest,
    seed: rest.seed ?? randomSeed(),
    ...(tokens && { tokens: [...tokens] }),
    ...(stop !== undefined && { stop: typeof stop === 'string' ? [stop] : stop }),
  }
}

function randomSeed(): number {
  return Math.floor(Math.random() * MAX_U32)
}

/** A `bad-option` error. */
export function badOption(message: string): WebternError {
  return new WebternError('bad-option', message)
}

/** Whether `value` is an object, whose entries can be read. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function check(
  caller: string,
  options: unknown,
  rules: Readonly<Record<string, Rule>>,
  required: readonly string[] = [],
): void {
  if (!isObject(options)) throw badOption(`${caller}: the options must be an object, not ${show(options)}`)
  for (const [key, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined
    if (!rule) throw badOption(`${caller} has no option "${key}"; it has ${Object.keys(rules).join(', ')}`)
    if (value === undefined && !required.includes(key)) continue
    if (!rule.holds(value)) throw badOption(`${caller}: ${key} must be ${rule.must}, not ${show(value)}`)
  }
}

function oneOf(names: Readonly<Record<string, true>>): Rule {
  return {
    must: `one of ${Object.keys(names).join(', ')}`,
    holds: (value) => isString(value) && Object.hasOwn(names, value),
  }
}

function integer(from: number, to = MAX_U32): Rule {
  return {
    must: `an integer of at least ${from}${to === MAX_U32 ? '' : ` and at most ${to}`}`,
    holds: (value) => Number.isInteger(value) && isNumber(value, from, to),
  }
}

function number(from: number, to: number): Rule {
  return { must: `a number from ${from} to ${to}`, holds: (value) => isNumber(value, from, to) }
}

function numberAbove(limit: number, to: number): Rule {
  return {
    must: `a number above ${limit} and at most ${to}`,
    holds: (value) => value !== limit && isNumber(value, limit, to),
  }
}

function isString(value: unknown): value is string {
  return typeof value === 'string'
}

function isNumber(value: unknown, from: number, to: number): boolean {
  return typeof value === 'number' && value >= from && value <= to
}

function isTokenIds(value: unknown): value is TokenIds {
  if (value instanceof Uint32Array) return true
  return Array.isArray(value) && value.every((id) => Number.isInteger(id) && isNumber(id, 0, MAX_U32))
}

function isLogitBias(value: unknown): boolean {
  if (!isObject(value) || Array.isArray(value)) return false
  return Object.entries(value).every(([id, bias]) => /^\d{1,9}$/.test(id) && isNumber(bias, -100, 100))
}

function isMessage(value: unknown): value is ChatMessage {
  return isObject(value) && isString(value['role']) && Object.hasOwn(ROLES, value['role']) && isString(value['content'])
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value)
  if (Array.isArray(value)) return 'this array'
  return typeof value === 'object' && value !== null ? 'this object' : String(value)
}
