// Waiting for a condition, with a deadline and a word for what is waited for.

import { setTimeout as delay } from 'node:timers/promises'

const askAgainMs = 100

export interface Waiting {
  readonly what: string
  readonly seconds: number
  readonly signal?: AbortSignal
}

/** The first answer that is not undefined. @throws when the time is up, or the signal's reason */
export async function until<Answer>(
  waiting: Waiting,
  ask: () => Answer | undefined | Promise<Answer | undefined>,
): Promise<Answer> {
  const { what, seconds, signal } = waiting
  const deadline = performance.now() + seconds * 1_000
  for (;;) {
    signal?.throwIfAborted()
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s in vain for ${what}`)
    await pause(askAgainMs, signal)
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(milliseconds, undefined, signal ? { signal } : {})
  } catch (cause) {
    throw signal?.reason ?? cause
  }
}

/** The promise's outcome, unless the time is up or the signal comes first. */
export async function within<Value>(waiting: Waiting, promise: Promise<Value>): Promise<Value> {
  const over = new AbortController()
  const { what, seconds, signal } = waiting
  const alarm = async (): Promise<never> => {
    const either = signal ? AbortSignal.any([signal, over.signal]) : over.signal
    await pause(seconds * 1_000, either)
    throw new Error(`waited ${seconds} s in vain for ${what}`)
  }
  try {
    return await Promise.race([promise, alarm()])
  } finally {
    over.abort()
  }
}
