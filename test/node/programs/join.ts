// Joins with a token, in a process of its own that can be killed.

import { join } from '../../../node/enrol.ts'

const [directory = '', token = ''] = process.argv.slice(2)
await join({ directory, token })
