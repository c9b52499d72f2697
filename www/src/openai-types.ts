/**
 * OpenAI's chat completions and completions as webtern speaks them. Structurally assignable to the
 * types of the `openai` package, which is not needed: `test/clients/types.check.ts` compares them.
 */

import type { DecodeMode } from './types.js'

/** Options of a call besides its body. */
export interface RequestOptions {
  readonly signal?: AbortSignal | null
}

/** Parameters that all requests for text share. Others are refused by name. */
interface SamplingParameters {
  /** Ignored if it names the loaded model. */
  readonly model?: string | null
  readonly max_tokens?: number | null
  /** Default: 0, unlike OpenAI's 1. */
  readonly temperature?: number | null
  readonly top_p?: number | null
  readonly stop?: string | readonly string[] | null
  readonly seed?: number | null
  readonly n?: number | null
  readonly logit_bias?: Readonly<Record<string, number>> | null
  readonly presence_penalty?: number | null
  readonly frequency_penalty?: number | null
  readonly stream_options?: { readonly include_usage?: boolean } | null
  readonly user?: string
  /** webtern's own; see the options of `generate`. */
  readonly mode?: DecodeMode | null
  readonly threshold?: number | null
  readonly block_size?: number | null
  readonly sub_block_size?: number | null
  readonly dual_cache?: boolean | null
  readonly top_k?: number | null
  readonly min_p?: number | null
  readonly repetition_penalty?: number | null
  readonly stop_token_ids?: readonly number[] | null
}

/**
 * A message with text, or with parts of `type: 'text'`. Like the other parameters, it has room for all that OpenAI's have,
 * so that code for them compiles; what is not supported is refused by name when it is asked for.
 */
export interface ChatCompletionMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool' | 'function'
  readonly content?: string | readonly { readonly type: string; readonly text?: string }[] | null
  readonly name?: string
}

/** Body of `chat.completions.create`. */
export interface ChatCompletionRequest extends SamplingParameters {
  readonly messages: readonly ChatCompletionMessage[]
  readonly max_completion_tokens?: number | null
  readonly logprobs?: boolean | null
  readonly top_logprobs?: number | null
  readonly response_format?: { readonly type: string }
  /** Arguments of the chat template, such as `enable_thinking`. */
  readonly chat_template_kwargs?: Readonly<Record<string, unknown>> | null
}

/** Body of `completions.create`. */
export interface CompletionRequest extends SamplingParameters {
  readonly prompt: string | readonly string[] | readonly number[] | readonly (readonly number[])[] | null
  readonly logprobs?: number | null
}

export interface CompletionUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  /** Prompt tokens whose keys and values an earlier request had left in the cache. */
  prompt_tokens_details: { cached_tokens: number }
}

/** How the answer was found: sums over all choices. */
export interface Timings {
  mode: Exclude<DecodeMode, 'auto'>
  prompt_ms: number
  predicted_ms: number
  predicted_per_second: number
  passes: number
  blocks: number
  commits: number
  /** Rows that all passes after prefill ran, commits included. */
  evaluated_rows: number
}

export interface TokenLogprobEntry {
  token: string
  logprob: number
  bytes: number[]
}

export interface ChatCompletionLogprobs {
  content: (TokenLogprobEntry & { top_logprobs: TokenLogprobEntry[] })[]
  refusal: null
}

export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  system_fingerprint: string
  choices: {
    index: number
    message: { role: 'assistant'; content: string; refusal: null; reasoning_content?: string }
    logprobs: ChatCompletionLogprobs | null
    finish_reason: 'stop' | 'length'
  }[]
  usage: CompletionUsage
  timings: Timings
}

export interface ChatCompletionChunk {
  id: string
  object: 'chat.completion.chunk'
  created: number
  model: string
  system_fingerprint: string
  choices: {
    index: number
    delta: { role?: 'assistant'; content?: string; reasoning_content?: string }
    logprobs: ChatCompletionLogprobs | null
    finish_reason: 'stop' | 'length' | null
  }[]
  usage?: CompletionUsage | null
  timings?: Timings
}

/** The whole answer, and each chunk of a stream. */
export interface Completion {
  id: string
  object: 'text_completion'
  created: number
  model: string
  system_fingerprint: string
  choices: {
    index: number
    text: string
    logprobs: {
      tokens: string[]
      token_logprobs: number[]
      top_logprobs: Record<string, number>[]
      text_offset: number[]
    } | null
    /** `null` in chunks before the last of a choice. */
    finish_reason: 'stop' | 'length'
  }[]
  usage?: CompletionUsage
  timings?: Timings
}

export interface ChatCompletions {
  /** Streams chunks; leaving the loop early ends the generation. */
  create(
    body: ChatCompletionRequest & { readonly stream: true },
    options?: RequestOptions,
  ): Promise<AsyncIterable<ChatCompletionChunk>>
  /** Rejects with a {@link WebternError} if the request is refused. */
  create(
    body: ChatCompletionRequest & { readonly stream?: false | null },
    options?: RequestOptions,
  ): Promise<ChatCompletion>
}

export interface Completions {
  /** Streams chunks; leaving the loop early ends the generation. */
  create(
    body: CompletionRequest & { readonly stream: true },
    options?: RequestOptions,
  ): Promise<AsyncIterable<Completion>>
  /** Rejects with a {@link WebternError} if the request is refused. */
  create(body: CompletionRequest & { readonly stream?: false | null }, options?: RequestOptions): Promise<Completion>
}
