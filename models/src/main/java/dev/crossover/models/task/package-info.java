// SPDX-License-Identifier: Apache-2.0
/// Quality tasks: what a model can learn with a mechanism, each with its generator, its labels, its
/// chance level, a deterministic solver and the numbers others published.
///
/// A task is one record annotated with [TaskInfo] and a line in [Tasks]. A sample is `tokens` and
/// `labels` of the same length; the label at t is compared with the model's output at t,
/// [Task#IGNORE] asks nothing. Where a task reads whole sequences the sample has one label.
@NullMarked
package dev.crossover.models.task;

import org.jspecify.annotations.NullMarked;
