/**
 * Who is measured when. Whatever else the machine does, and however warm it gets, should meet all engines alike: so all cases of a model
 * run at the same time, in a heat, where they take turns (`heat.ts`), and each round begins with another engine.
 */

/** One engine with one model and a number of threads: what runs in one heat of each round. */
export interface Case {
  readonly engine: string
  readonly model: string
  readonly threads: number
}

/** A case in a heat of one of the rounds, which count from 0. */
export interface Turn extends Case {
  readonly round: number
}

/** What belongs to one case, by case, in the order in which cases are met first. */
export function byCase<T extends Case>(list: readonly T[]): (readonly [T, ...T[]])[] {
  return grouped(list, ({ model, threads, engine }) => [model, threads, engine])
}

/** What has equal keys, in the order in which keys are met first. */
export function grouped<T>(list: readonly T[], keyOf: (one: T) => readonly unknown[]): (readonly [T, ...T[]])[] {
  const groups = new Map<string, [T, ...T[]]>()
  for (const one of list) {
    const key = JSON.stringify(keyOf(one))
    const known = groups.get(key)
    if (known) known.push(one)
    else groups.set(key, [one])
  }
  return [...groups.values()]
}

/** What is to be measured. */
export interface Plan {
  readonly engines: readonly string[]
  readonly models: readonly string[]
  readonly threads: readonly number[]
  readonly rounds: number
}

/** All heats in order, each with the cases of one model, without those of engines that do not run it. */
export function schedule(plan: Plan, runs: (engine: string, model: string) => boolean): Turn[][] {
  return Array.from({ length: plan.rounds }, (_, round) =>
    plan.models.map((model) =>
      plan.threads.flatMap((threads) =>
        rotated(plan.engines, round)
          .filter((engine) => runs(engine, model))
          .map((engine) => ({ engine, model, threads, round })),
      ),
    ),
  ).flat()
}

/** `list` begun at another place. */
function rotated<T>(list: readonly T[], by: number): T[] {
  const start = by % Math.max(list.length, 1)
  return [...list.slice(start), ...list.slice(0, start)]
}
