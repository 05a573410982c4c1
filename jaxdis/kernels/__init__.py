"""Operations that dominate a training step, one folder each."""
