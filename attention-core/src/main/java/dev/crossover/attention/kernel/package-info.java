// SPDX-License-Identifier: Apache-2.0
/// Vector kernels, their scalar twins, and the choice between them.
///
/// The only package that imports `jdk.incubator.vector`. Kernels work on flat `float[]` with
/// offsets, trust their callers, and allocate nothing; validation and scratch belong to plans.
@NullMarked
package dev.crossover.attention.kernel;

import org.jspecify.annotations.NullMarked;
