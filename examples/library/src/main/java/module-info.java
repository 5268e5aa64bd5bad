// SPDX-License-Identifier: Apache-2.0
/** A program that computes attention. */
module example.library {
  requires dev.crossover.mechanisms;
}
