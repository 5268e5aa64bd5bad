// SPDX-License-Identifier: Apache-2.0
/** Mechanisms of the literature, by family, and their catalogue. */
module dev.crossover.mechanisms {
  requires transitive dev.crossover.attention;
  requires static transitive org.jspecify;
  requires org.apache.commons.rng.api;

  exports dev.crossover.variants;
  exports dev.crossover.variants.feature;
  exports dev.crossover.variants.hashing;
  exports dev.crossover.variants.lowrank;
  exports dev.crossover.variants.recurrent;
  exports dev.crossover.variants.score;
  exports dev.crossover.variants.sparse;

  uses dev.crossover.attention.mechanism.MechanismProvider;
}
