// `gridnode reload`: the config is read again while the node runs. What is wrong with it is said
// and changes nothing; what can count at once does, the rest is named.

import type { Outcome } from '../protocol/base/outcome.ts'
import { ok, refuse } from '../protocol/base/outcome.ts'
import type { Self } from '../protocol/machine/state.ts'
import type { Config } from './config.ts'
import { localMachine, parseConfig, readText } from './config.ts'
import type { ConfigChanges } from './config-changes.ts'
import { configChanges } from './config-changes.ts'
import type { Loop } from './loop.ts'
import { messageOf } from './problem.ts'
import { settingsOf } from './self.ts'

export interface Reloading {
  readonly path: string
  readonly self: Self
  readonly loop: Loop
  /** Why a config that is right by itself does not do here; undefined when it does. */
  refusal(config: Config): string | undefined
}

export type Reload = () => Outcome<ConfigChanges, { readonly detail: string }>

/** `text` is what the node was started with. */
export function openReload({ path, self, loop, refusal }: Reloading, text: string): Reload {
  let last = text
  return () => {
    try {
      const next = readText(path)
      const config = parseConfig(next, path, localMachine())
      const why = refusal(config)
      if (why !== undefined) return refuse({ detail: why })
      if (config.site.name !== self.site) {
        return refuse({ detail: `a site keeps its name: set site.name back to ${self.site}` })
      }
      const { live } = configChanges(last, next)
      // What waits for a start is told again each time.
      const { restart } = configChanges(text, next)
      last = next
      loop.configure({ ...self, ...settingsOf(config) })
      return ok({ live, restart })
    } catch (error) {
      return refuse({ detail: messageOf(error) })
    }
  }
}
