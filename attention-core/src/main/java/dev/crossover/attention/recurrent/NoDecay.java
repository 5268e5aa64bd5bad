// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

/// g = 0: the state keeps everything.
final class NoDecay extends ChunkDecay {
  private static final float[] NOTHING = new float[0];

  NoDecay(ChunkLayout layout) {
    super(layout);
  }

  @Override
  void begin(int rows) {
    count = rows;
    reach = rows;
  }

  @Override
  void scores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    lower(left, k, ko, scores, transposed);
  }

  @Override
  void keys(float[] k, int ko) {}

  @Override
  float[] moved() {
    return NOTHING;
  }

  @Override
  void state(float[] state, int at, int width, int stride) {}

  @Override
  double flops(int rows) {
    return 0;
  }

  @Override
  double gradientFlops(int rows) {
    return 0;
  }

  @Override
  int width() {
    return 0;
  }

  @Override
  void beginGradient() {}

  @Override
  void carry(float[] left, float[] carried) {}

  @Override
  void depart(float[] k, int ko, float[] departed) {}

  @Override
  void allScores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    lower(left, k, ko, scores, transposed);
  }

  @Override
  void uncarry(float[] left, float[] gradLeft) {}

  @Override
  void undepart(float[] k, int ko, float[] gradKeys) {}

  @Override
  void unstate(float[] s, int so, float[] r, int ro, int valueDim) {}

  @Override
  void unscore(
      float[] gradScores,
      float[] scores,
      float[] left,
      float[] carried,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys) {
    unlower(gradScores, left, k, ko, gradLeft, gradKeys);
  }

  @Override
  void addGradient(
      int batch,
      int first,
      int row,
      int part,
      float[] left,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys) {}
}
