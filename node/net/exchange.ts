// One question, one answer, on a stream of its own: requests between members, and the request to
// join.
//
// The asker aborts the stream to give up; the answerer's signal then fires. A refusal travels as an
// error frame with a code and a text, both bounded; what is not an error with a code is our fault
// and stays here.

import type { Stream } from '@libp2p/interface'
import { clock } from '../clock.ts'
import type { NetBounds } from './bounds.ts'
import { codeOf, failure, mayTravel, messageOf, remoteFailure } from './failure.ts'
import { frameKind, frameOf, readBody, readHeader, readText, textOf } from './frames.ts'
import { openPipe } from './pipe.ts'
import type { Pipe } from './pipe.ts'

/** The body of an error frame: `<code>\n<text>`. */
export function errorFrameOf(error: unknown, bounds: NetBounds): Uint8Array {
  const told = mayTravel(error)
  const body = told ? `${codeOf(error)}\n${messageOf(error)}` : 'internal\ninternal error'
  // A character takes at most three bytes here.
  const bounded = body.slice(0, Math.floor(bounds.errorTextBytes / 3))
  return frameOf(frameKind.error, bounded)
}

export async function readError(pipe: Pipe, bytes: number): Promise<never> {
  const [code = '', ...text] = textOf(await readBody(pipe, bytes)).split('\n')
  throw remoteFailure(code, text.join('\n'))
}

/** Rejects as soon as `signal` fires, whatever `promise` does; what comes later is dropped. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const over = Promise.withResolvers<never>()
  const onAbort = (): void => over.reject(signal.reason)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, over.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

export interface AskOptions {
  readonly bounds: NetBounds
  readonly answerBytesMax: number
  readonly signal: AbortSignal
}

/** Asks on a fresh stream; every error is a Failure, and the stream is gone afterwards. */
export async function ask(stream: Stream, question: string, options: AskOptions): Promise<string> {
  const { bounds, signal } = options
  const pipe = openPipe(stream, bounds)
  const stop = (): void => pipe.abort(failure('aborted', 'the asker gave up', signal.reason))
  signal.addEventListener('abort', stop, { once: true })
  try {
    if (signal.aborted) throw failure('aborted', 'the asker gave up', signal.reason)
    await pipe.write(frameOf(frameKind.text, question))
    const header = await readHeader(pipe, options.answerBytesMax)
    if (!header) throw failure('broken', 'the peer ended the stream without an answer')
    if (header.kind === frameKind.error) await readError(pipe, header.bytes)
    if (header.kind !== frameKind.answer) {
      throw failure('malformed', `a frame of kind ${header.kind} where an answer must come`)
    }
    const answer = textOf(await readBody(pipe, header.bytes))
    void pipe.finish()
    return answer
  } catch (error) {
    pipe.abort(failure('aborted', 'the exchange failed', error))
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

export interface AnswerOptions {
  readonly bounds: NetBounds
  readonly questionBytesMax: number
  readonly answerBytesMax: number
  handle(question: string, signal: AbortSignal): Promise<string>
  /** Told of what `handle` threw without a code: our own fault. */
  onFault(error: unknown): void
}

/** Answers the one question of a fresh stream. Throws when the peer broke the protocol or left. */
export async function answer(stream: Stream, options: AnswerOptions): Promise<void> {
  const { bounds } = options
  const pipe = openPipe(stream, bounds)
  const late = clock.after(bounds.requestReadMs, () =>
    pipe.abort(failure('timeout', 'no question in time')),
  )
  try {
    const question = await readText(pipe, frameKind.text, options.questionBytesMax)
    late.stop()
    await pipe.write(await framedAnswer(question, pipe, options))
    await pipe.finish()
  } catch (error) {
    pipe.abort(failure('aborted', 'the exchange failed', error))
    throw error
  } finally {
    late.stop()
  }
}

async function framedAnswer(
  question: string,
  pipe: Pipe,
  options: AnswerOptions,
): Promise<Uint8Array> {
  const { bounds } = options
  const overdue = new AbortController()
  const timer = clock.after(bounds.requestServeMs, () =>
    overdue.abort(failure('timeout', 'the answer took too long')),
  )
  const signal = AbortSignal.any([pipe.closed, overdue.signal])
  try {
    const text = await orAborted(options.handle(question, signal), signal)
    const bytes = Buffer.byteLength(text)
    if (bytes <= options.answerBytesMax) return frameOf(frameKind.answer, text)
    const excess = `an answer of ${bytes} bytes where at most ${options.answerBytesMax} may go`
    return errorFrameOf(failure('refused', excess), bounds)
  } catch (error) {
    if (pipe.closed.aborted) throw error
    if (!mayTravel(error)) options.onFault(error)
    return errorFrameOf(error, bounds)
  } finally {
    timer.stop()
  }
}
