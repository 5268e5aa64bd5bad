// SPDX-License-Identifier: Apache-2.0
/** The contract of attention mechanisms as test classes to extend. */
module dev.crossover.testing {
  requires transitive dev.crossover.attention;
  requires transitive org.junit.jupiter.api;
  requires static transitive org.jspecify;
  requires java.management;
  requires jdk.jfr;
  requires jdk.management;

  exports dev.crossover.attention.testing;
}
