// SPDX-License-Identifier: Apache-2.0
/// Reading YAML texts that people write: sweeps and grids of training runs.
@NullMarked
package dev.crossover.bench.yaml;

import org.jspecify.annotations.NullMarked;
