// SPDX-License-Identifier: Apache-2.0
/// What is known about the machine and the build: processor, memory, JDK, commit.
@NullMarked
package dev.crossover.bench.machine;

import org.jspecify.annotations.NullMarked;
