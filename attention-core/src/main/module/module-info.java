// SPDX-License-Identifier: Apache-2.0
/**
 * Attention: the interface, exact attention, the engines of other mechanisms, tensors and seeded
 * draws.
 */
module dev.crossover.attention {
  requires static jdk.incubator.vector;
  requires static transitive org.jspecify;
  requires transitive org.apache.commons.rng.api;
  requires org.apache.commons.rng.simple;
  requires org.apache.commons.rng.sampling;

  exports dev.crossover.attention;
  exports dev.crossover.attention.conformance;
  exports dev.crossover.attention.exact;
  exports dev.crossover.attention.linear;
  exports dev.crossover.attention.mechanism;
  exports dev.crossover.attention.random;
  exports dev.crossover.attention.recurrent;
  exports dev.crossover.attention.select;
  exports dev.crossover.attention.store;
  exports dev.crossover.attention.tensor;
  exports dev.crossover.attention.kernel to
      dev.crossover.mechanisms,
      dev.crossover.models,
      dev.crossover.bench,
      dev.crossover.reports;

  uses dev.crossover.attention.conformance.GoldenReplay;
  uses dev.crossover.attention.mechanism.MechanismProvider;

  provides dev.crossover.attention.conformance.GoldenReplay with
      dev.crossover.attention.store.CacheReplay;
}
