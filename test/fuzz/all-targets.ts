// All that is fuzzed.

import { baseTargets } from './base-targets.ts'
import { corpus } from './corpus.ts'
import { nodeTargets } from './node-targets.ts'
import { rulesTargets } from './rules-targets.ts'
import { stepTargets } from './step-targets.ts'
import type { Target } from './target.ts'
import { walkTarget } from './walk-target.ts'

export function allTargets(): Target[] {
  const recorded = corpus()
  return [
    ...baseTargets(recorded), ...rulesTargets(recorded), ...nodeTargets(recorded),
    ...stepTargets(recorded), walkTarget(recorded),
  ]
}
