"""Makes ``python -m chatd.client`` mean ``chat``."""

from chatd.client.main import main

if __name__ == "__main__":
    main()
