// SPDX-License-Identifier: Apache-2.0
/** Layers, small models, tasks and training around any mechanism. */
module dev.crossover.models {
  requires transitive dev.crossover.mechanisms;
  requires static transitive org.jspecify;
  requires transitive org.apache.commons.rng.api;

  exports dev.crossover.models.conformance;
  exports dev.crossover.models.graph;
  exports dev.crossover.models.layer;
  exports dev.crossover.models.mixed;
  exports dev.crossover.models.model;
  exports dev.crossover.models.optimiser;
  exports dev.crossover.models.option;
  exports dev.crossover.models.pretrained;
  exports dev.crossover.models.task;
  exports dev.crossover.models.training;

  uses dev.crossover.models.task.Tasks.Provider;

  provides dev.crossover.attention.conformance.GoldenReplay with
      dev.crossover.models.task.TaskReplay,
      dev.crossover.models.conformance.ModelReplay;
}
