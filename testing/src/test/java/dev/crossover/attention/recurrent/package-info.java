// SPDX-License-Identifier: Apache-2.0
/// Tests of the chunkwise engine for recurrences, on every kind of rule.
@org.jspecify.annotations.NullMarked
package dev.crossover.attention.recurrent;
