/** A program that computes attention. */
module example.library {
  requires dev.crossover.mechanisms;
}
