/**
 * A stand-in for the converter. Which files there are says how it behaves: `unsupported.txt` makes it refuse, `slow.txt`
 * makes it slow; a model that is called `broken` does not run.
 */

import type {
  CheckpointOptions,
  CheckpointReport,
  ConvertCheckpoint,
  InspectCheckpoint,
  InspectModel,
  ModelDescription,
  TensorReport,
  VerifyModel,
} from '../../src/checkpoint-types'
import { FakeError, sleep } from './fake-error'

const BYTES = 1_209_344
const STEPS = 25

function tensor(name: string, dims: readonly number[], type: string, read: boolean): TensorReport {
  const ternary = type === 'Q2_0'
  return {
    name,
    source: `model.${name}`,
    sourceType: 'BF16',
    type,
    dims,
    fallback: null,
    origin: read && dims.length > 1 ? (ternary ? 'master' : 'float') : null,
    scale: read && ternary ? 0.0525 : null,
    group: null,
    zeros: read && ternary ? 0.31 : null,
  }
}

const DESCRIPTION: ModelDescription = {
  architecture: 'bitnet',
  subNorms: 'two',
  tokenizer: 'gpt2 (smollm), 49152 tokens',
  chatTemplate: false,
  diffusion: null,
  maskTokenText: null,
  modes: ['ar'],
  findings: [
    {
      severity: 'note',
      code: 'no-mask-token',
      message: 'there is no mask token: <b>markup</b> stays text',
      remedy: 'name it with --mask-token-id',
      tensors: [],
    },
  ],
}

const DIFFUSION: Partial<ModelDescription> = {
  diffusion: {
    maskToken: 16,
    blockSize: 32,
    attention: 'block',
    shiftLogits: true,
    autoregressive: false,
    acceptance: null,
    steps: null,
    threshold: null,
    tokensPerPass: null,
  },
  maskTokenText: '<mask>',
  modes: ['adaptive', 'iterative', 'greedy', 'ar'],
  findings: [],
}

function report({ type = 'q2_0', maskTokenId }: CheckpointOptions, converted: boolean): CheckpointReport {
  const ty = type.toUpperCase()
  return {
    ...DESCRIPTION,
    ...(maskTokenId !== undefined && DIFFUSION),
    class: 'BitnetForCausalLM',
    ternaryBecause: 'the class is BitNet',
    weightScale: null,
    bytes: BYTES,
    tensors: [
      tensor('token_embd.weight', [576, 49152], 'BF16', converted),
      ...Array.from({ length: 30 }, (_, layer) => [
        tensor(`blk.${layer}.attn_norm.weight`, [576], 'F32', converted || layer === 0),
        tensor(`blk.${layer}.attn_q.weight`, [576, 576], ty, converted || layer === 0),
      ]).flat(),
    ],
    dropped: [{ name: 'lm_head.weight', reason: 'equals the embedding, which is used in its place' }],
  }
}

function check(files: Iterable<File>, { maskTokenId, signal }: CheckpointOptions): void {
  const names = [...files].map(({ name }) => name)
  if (signal?.aborted) throw new FakeError('aborted', 'the inspection was aborted')
  if (!names.includes('config.json'))
    throw new FakeError('io', 'config.json is missing: a checkpoint is a folder with it')
  if (names.includes('unsupported.txt'))
    throw new FakeError('unsupported-architecture', 'class "MambaForCausalLM" is not converted')
  if (maskTokenId === 2) throw new FakeError('bad-option', 'token 2 also ends answers')
}

export const inspectCheckpoint: InspectCheckpoint = async (files, options = {}) => {
  // Quicker than the page is drawn.
  await Promise.resolve()
  check(files, options)
  return report(options, false)
}

export const convertCheckpoint: ConvertCheckpoint = async (files, options = {}) => {
  const pause = [...files].some(({ name }) => name === 'slow.txt') ? 120 : 4
  for (let i = 1; i <= STEPS; i += 1) {
    await sleep(pause)
    check(files, options)
    options.onProgress?.({ phase: 'convert', loaded: (BYTES * i) / STEPS, total: BYTES })
  }
  return { blob: new Blob(['GGUF'], { type: 'application/octet-stream' }), report: report(options, true) }
}

export const inspectModel: InspectModel = async (source, options = {}) => {
  const files = Array.isArray(source) ? source : [source]
  const runs = !files.some((file) => file instanceof File && file.name.includes('broken'))
  options.onProgress?.({ phase: 'inspect', loaded: BYTES, total: BYTES })
  await sleep(5)
  const q = { name: 'blk.0.attn_q.weight', type: 'Q2_0', dims: [576, 576], scale: 0.02, zeros: 0.31 }
  return {
    ...DESCRIPTION,
    name: 'fake',
    files: files.length,
    bytes: BYTES,
    parameters: 135_000_000,
    runs,
    types: [{ type: 'Q2_0', tensors: 1, weights: 331_776, bytes: 93_312 }],
    tensors: [q],
    findings: runs
      ? []
      : [
          {
            severity: 'problem',
            code: 'raw-weights',
            message: 'noise',
            remedy: null,
            tensors: ['a', 'b', 'c', 'd', 'e'],
          },
        ],
  }
}

export const verifyModel: VerifyModel = async () => {
  await sleep(5)
  return {
    matrices: [
      {
        name: 'token_embd.weight',
        type: 'BF16',
        cosine: 0.999999,
        leastCosine: 0.9999,
        ratio: 1,
        ratioSpread: 0.01,
        zeros: null,
      },
    ],
    vectors: 61,
    tokenizer: { reference: 'tokenizer.json', texts: 50, differing: 0, lossy: 0 },
    findings: [],
  }
}
