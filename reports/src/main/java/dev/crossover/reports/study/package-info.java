// SPDX-License-Identifier: Apache-2.0
/// The error study: which errors are computed, on which tensors, with which knobs.
@NullMarked
package dev.crossover.reports.study;

import org.jspecify.annotations.NullMarked;
